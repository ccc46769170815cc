"""Measures how fast images are encoded, from memory by each contender, and from files by us."""

import argparse
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

import hashnet_jax
from benchmarks import suite_train
from benchmarks.measuring import Row, count_flops, measure, missing
from benchmarks.suite_train import case_name, measure_peer, model_spec, random_batch
from hashnet_jax.data import FileSource
from hashnet_jax.distributed.devices import local_devices, map_rows
from hashnet_jax.model import HashNetParams, encode
from hashnet_jax.training import encode_dataset

ONNX_RUNTIME = "onnxruntime"


def contenders(options: argparse.Namespace) -> list[str]:
    """Returns the names of the contenders that ``--peers`` selects."""
    others = [] if options.peers == "none" else [ONNX_RUNTIME]
    return [*suite_train.contenders(options), *others]


def run(options: argparse.Namespace) -> Iterator[Row]:
    """Measures the contender ``options.only``."""
    for backbone in options.backbone:
        case = case_name(backbone, options)
        if options.only == "hashnet_jax":
            devices = local_devices(options.devices)
            params = hashnet_jax.init(jax.random.key(0), model_spec(backbone, options))
            ours = _from_memory(case, params, devices, options)
            yield from measure([ours], options.repeats)
            yield from _from_files(case, params, devices, options)
        else:
            row = Row("encode", case, options.only, items=options.batch_size, unit="images")
            if options.only == ONNX_RUNTIME:
                yield from _onnx_runtime(row, backbone, options)
            else:
                yield from measure_peer(row, backbone, "encode", options)


def _onnx_runtime(row: Row, backbone: str, options: argparse.Namespace) -> Iterator[Row]:
    try:
        from benchmarks.onnx_peer import OnnxPeer

        peer = OnnxPeer(backbone, options)
    except (ImportError, RuntimeError) as error:
        yield missing(row.suite, row.case, row.by, error)
        return
    yield from measure([(row, peer)], options.repeats)


def write_pictures(folder: str | pathlib.Path, n: int, size: int) -> list[pathlib.Path]:
    """Writes JPEG files with smooth random content, and returns their paths."""
    rng = np.random.default_rng(0)
    paths = [pathlib.Path(folder) / f"{i:06}.jpg" for i in range(n)]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def _from_memory(
    case: str, params: HashNetParams, devices: Sequence[Any], options: argparse.Namespace
) -> tuple[Row, Callable[[], Any]]:
    images = random_batch(options.batch_size, options.image_size)["image"]
    compiled = map_rows(encode, devices)
    row = Row("encode", case, "hashnet_jax", items=len(images), unit="images")
    row.flops = count_flops(hashnet_jax.encode, params, images) / options.devices
    return row, lambda: compiled(params, images)


def _from_files(
    case: str, params: HashNetParams, devices: Sequence[Any], options: argparse.Namespace
) -> Iterator[Row]:
    n = 2 * options.batch_size
    row = Row("encode", f"{case}, from JPEG files", "hashnet_jax", items=n, unit="images")
    with tempfile.TemporaryDirectory() as folder:
        source = FileSource(write_pictures(folder, n, 2 * options.image_size))
        settings = {"devices": devices, "batch_size": options.batch_size}
        yield from measure(
            [(row, lambda: encode_dataset(params, source, np.arange(n), **settings))],
            options.repeats,
        )
