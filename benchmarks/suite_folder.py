"""A folder of photographs to packed codes: `hashnet encode` against PyTorch's DataLoader.

Both read JPEGs of 500 x 375 pixels, squash them to 256 x 256, cut the centre 224 x 224 out,
normalise, run the network and pack the signs. `hashnet encode` lists the folder, keeps its journal
and writes the codes to disk as well.
"""

import contextlib
import importlib.util
import io
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
from measuring import Row, missing
from PIL import Image

import hashnet_jax
from hashnet_jax import ModelSpec
from hashnet_jax.cli.encode import encode_to_folder

BACKBONES = ("alexnet", "resnet18")
WORKERS = (0, 2)


def photographs():
    """scikit-image's, those that come with it."""
    from skimage import data

    made = (data.astronaut, data.chelsea, data.coffee, data.rocket, data.hubble_deep_field)
    return [Image.fromarray(load()) for load in made]


def write_photographs(folder, n, size):
    """A folder of JPEGs: random cuts of photographs, three quarters of their sides or more."""
    folder.mkdir()
    rng, whole = np.random.default_rng(0), photographs()
    for i in range(n):
        picture = whole[i % len(whole)]
        share = rng.uniform(0.75, 1.0)
        width, height = (round(share * side) for side in picture.size)
        left = rng.integers(picture.width - width + 1)
        top = rng.integers(picture.height - height + 1)
        box = (left, top, left + width, top + height)
        resized = picture.resize(size, Image.Resampling.BICUBIC, box=box)
        resized.save(folder / f"{i:06}.jpg", quality=90)
    return folder


def encoder(folder, backbone, image_size, options):
    """``pictures -> None``: `hashnet encode`, in this process."""
    spec = ModelSpec(backbone, options.bits, image_size=image_size, resize=squashed(image_size))
    run = folder / backbone
    run.mkdir()
    hashnet_jax.save(run, hashnet_jax.init(jax.random.key(0), spec))

    def encode(pictures):
        quiet = contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO())
        with tempfile.TemporaryDirectory() as codes, quiet[0], quiet[1]:
            output = pathlib.Path(codes) / "codes"
            encode_to_folder(run, [pictures], output, batch_size=options.batch_size, n_devices=1)

    return encode


def squashed(image_size):
    """What a crop is cut from: 256 for 224."""
    return image_size * 8 // 7


class Peer:
    """``pictures -> None``: PyTorch in a process that waits for folders to encode."""

    def __init__(self, backbone, workers, image_size, options):
        program = pathlib.Path(__file__).with_name("torch_folder.py")
        numbers = (workers, image_size, squashed(image_size), options.batch_size, options.bits)
        command = [sys.executable, program, backbone, *numbers]
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, pictures):
        print(pictures, file=self.process.stdin, flush=True)
        if not self.process.stdout.readline():
            raise RuntimeError(f"torch_folder.py ended with status {self.process.wait()}")

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def run(options):
    if importlib.util.find_spec("skimage") is None:
        yield missing("folder", "photographs", "hashnet_jax", "scikit-image")
        return
    # The smallest that ResNet takes; AlexNet takes none so small.
    image_size = 32 if options.small else options.image_size
    size = (80, 60) if options.small else (500, 375)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        few = write_photographs(folder / "few", 2, size)
        pictures = write_photographs(folder / "pictures", options.pictures, size)
        for backbone in BACKBONES[1:] if options.small else BACKBONES:
            yield from compare(folder, backbone, image_size, few, pictures, options)


def compare(folder, backbone, image_size, few, pictures, options):
    """Rows of one backbone; all take their turn after two pictures to warm up."""
    case = f"{backbone}, {options.pictures:,} JPEGs, batch {options.batch_size}, {image_size} px"
    contenders = {"hashnet_jax encode": encoder(folder, backbone, image_size, options)}
    has_peers = options.peers != "none" and jax.default_backend() == "cpu"
    if has_peers and importlib.util.find_spec("torch") is not None:
        for workers in WORKERS[1:] if options.small else WORKERS:
            by = f"PyTorch DataLoader, {workers} workers"
            contenders[by] = Peer(backbone, workers, image_size, options)
    elif options.peers != "none":
        yield missing("folder", case, "PyTorch DataLoader", "torch, or JAX is not on the CPU")
    seconds = {by: [] for by in contenders}
    try:
        for encode in contenders.values():
            encode(few)
        for _ in range(options.repeats):
            for by, encode in contenders.items():
                start = time.perf_counter()
                encode(pictures)
                seconds[by].append(time.perf_counter() - start)
    finally:
        for encode in contenders.values():
            if isinstance(encode, Peer):
                encode.close()
    for by, taken in seconds.items():
        row = Row("folder", case, by, taken, items=options.pictures, unit="images")
        if by.startswith("hashnet_jax"):
            row.note = "loads and hashes its weights each time, as well"
        yield row
