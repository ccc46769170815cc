"""Encoding images to codes, on the device and from pictures in files, against PyTorch."""

import pathlib
import tempfile

import jax
import numpy as np
from measuring import Row, count_flops, measure
from PIL import Image
from suite_train import model_spec, peers, random_batch, wanted

import hashnet_jax
from hashnet_jax import parallel
from hashnet_jax.data.sources import FileSource
from hashnet_jax.evaluation import encode_all


def write_pictures(folder, n, size):
    """JPEG files with smooth random content, paths in order."""
    rng = np.random.default_rng(0)
    paths = [pathlib.Path(folder) / f"{i:06}.jpg" for i in range(n)]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def run(options):
    devices = parallel.local_devices(options.devices)
    for backbone in options.backbone:
        size = f"batch {options.batch_size}, {options.image_size} px, {options.dtype}"
        case = f"{backbone}, {size}, {options.devices} device(s)"
        contenders, absent = peers("encode", case, backbone, options, "encode")
        if not wanted("hashnet_jax", options):
            yield from measure(contenders, options.repeats)
            yield from absent
            continue
        params = hashnet_jax.init(jax.random.key(0), model_spec(backbone, options))
        images = random_batch(options.batch_size, options.image_size)["image"]
        encode = parallel.compile_encode(devices)
        row = Row("encode", case, "hashnet_jax", items=len(images), unit="images")
        row.flops = count_flops(hashnet_jax.encode, params, images) / options.devices
        ours = (row, lambda e=encode, p=params, i=images: e(p, i))
        yield from measure([ours, *contenders], options.repeats)
        yield from absent
        with tempfile.TemporaryDirectory() as folder:
            n = 2 * options.batch_size
            source = FileSource(write_pictures(folder, n, 2 * options.image_size))
            files = Row("encode", f"{case}, from JPEG files", "hashnet_jax", items=n, unit="images")

            def encode_files(params=params, source=source):
                return encode_all(
                    params,
                    source,
                    np.arange(len(source)),
                    devices=devices,
                    batch_size=options.batch_size,
                )

            yield from measure([(files, encode_files)], options.repeats)
