"""Codes without the network, which would have to be compiled for each case."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np

from hashnet_jax import training
from hashnet_jax.cli import _search_stores
from hashnet_jax.cli._query_network import QueryNetwork


@contextlib.contextmanager
def fake_network() -> Iterator[None]:
    """Lets the bits of a picture's code be those of a hash of its pixels."""

    def encode_batches(params: Any, batches: Any, **_: Any) -> Iterator[Any]:
        for extra, images in batches:
            yield extra, np.packbits(_bits(images, params.spec.bits), axis=1)

    def load_query_network(run_dir: Any, model: Any, batch_size: int) -> QueryNetwork:
        spec = json.loads(model.spec)

        def program(arrays: Any, images: Any) -> Any:
            return np.float32(_bits(images, spec["bits"])) - 0.5

        return QueryNetwork({}, program, batch_size, spec["resize"])

    with (
        mock.patch.object(training, "encode_batches", encode_batches),
        mock.patch.object(_search_stores, "load_query_network", load_query_network),
    ):
        yield


def _bits(images: np.ndarray, bits: int) -> np.ndarray:
    hashes = b"".join(hashlib.sha256(image.tobytes()).digest() for image in images)
    rows = np.frombuffer(hashes, np.uint8).reshape(len(images), -1)
    return np.unpackbits(rows, axis=1)[:, :bits]
