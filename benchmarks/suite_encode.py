"""Measures how fast images are encoded, from memory (compared with PyTorch) and from files."""

import argparse
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

import hashnet_jax
from benchmarks.measuring import Row, count_flops, measure
from benchmarks.suite_train import is_included, model_spec, random_batch, ready_peers
from hashnet_jax.data import FileSource
from hashnet_jax.distributed.devices import local_devices, map_rows
from hashnet_jax.model import HashNetParams, encode
from hashnet_jax.training import encode_dataset


def run(options: argparse.Namespace) -> Iterator[Row]:
    devices = local_devices(options.devices)
    for backbone in options.backbone:
        size = f"batch {options.batch_size}, {options.image_size} px, {options.dtype}"
        case = f"{backbone}, {size}, {options.devices} device(s)"
        contenders, absent = ready_peers("encode", case, backbone, options, "encode")
        if not is_included("hashnet_jax", options):
            yield from measure(contenders, options.repeats)
            yield from absent
            continue
        params = hashnet_jax.init(jax.random.key(0), model_spec(backbone, options))
        ours = _from_memory(case, params, devices, options)
        yield from measure([ours, *contenders], options.repeats)
        yield from absent
        yield from _from_files(case, params, devices, options)


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
