"""Codes without the network, which would have to be compiled for each case."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

from hashnet_jax import training
from hashnet_jax.index import _stream


@contextlib.contextmanager
def fake_network() -> Iterator[None]:
    """Lets the bits of a picture's code be those of a hash of its pixels."""

    def encode_batches(params: Any, batches: Any, **_: Any) -> Iterator[Any]:
        for extra, images in batches:
            yield extra, np.packbits(_bits(images, params.spec.bits), axis=1)

    def map_rows(function: Any, devices: Any) -> Callable[[Any, Any], Any]:
        return lambda params, images: np.float32(_bits(images, params.spec.bits)) - 0.5

    with (
        mock.patch.object(training, "encode_batches", encode_batches),
        mock.patch.object(_stream, "map_rows", map_rows),
    ):
        yield


def _bits(images: np.ndarray, bits: int) -> np.ndarray:
    hashes = b"".join(hashlib.sha256(image.tobytes()).digest() for image in images)
    rows = np.frombuffer(hashes, np.uint8).reshape(len(images), -1)
    return np.unpackbits(rows, axis=1)[:, :bits]
