"""Compares `hashnet index update` with a PyTorch DataLoader pipeline on a folder of photographs.

Both read JPEGs of 500 x 375 pixels, resize them to 256 x 256, take the 224 x 224 centre crop,
normalize it, run the network and pack the signs of its outputs into codes. In addition, `hashnet
index update` lists the folder, hashes each file and writes the rows of a new store to disk.
"""

import argparse
import contextlib
import importlib.util
import io
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from PIL import Image

import hashnet_jax
from benchmarks.measuring import ROOT, Row, missing, module_command
from hashnet_jax import ModelSpec
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.index import LocalEngine, StoreManifest, create_store, update_store

BACKBONES = ("alexnet", "resnet18")
DATA_LOADER_WORKERS = (0, 2)
PHOTOGRAPH_SIZE = (500, 375)

# Sizes for the smoke test. These are the smallest images that ResNet accepts; AlexNet requires
# larger images.
SMALL_IMAGE_SIZE = 32
SMALL_PHOTOGRAPH_SIZE = (80, 60)


def run(options: argparse.Namespace) -> Iterator[Row]:
    if importlib.util.find_spec("skimage") is None:
        yield missing("folder", "photographs", "hashnet_jax", "scikit-image")
        return
    image_size = SMALL_IMAGE_SIZE if options.small else options.image_size
    size = SMALL_PHOTOGRAPH_SIZE if options.small else PHOTOGRAPH_SIZE
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary).absolute()
        few = write_photographs(folder / "few", 2, size)
        pictures = write_photographs(folder / "pictures", options.pictures, size)
        for backbone in BACKBONES[1:] if options.small else BACKBONES:
            case = (
                f"{backbone}, {options.pictures:,} JPEGs, batch {options.batch_size}, "
                f"{image_size} px"
            )
            contenders: dict[str, Callable[[pathlib.Path], None]] = {
                "hashnet_jax update": hashnet_updater(folder, backbone, image_size, options)
            }
            if options.peers != "none":
                if jax.default_backend() == "cpu" and importlib.util.find_spec("torch"):
                    contenders |= torch_encoders(backbone, image_size, options)
                else:
                    why = "PyTorch is not installed, or JAX is not running on the CPU"
                    yield missing("folder", case, "PyTorch DataLoader", why)
            yield from measure_in_turn(case, contenders, few, pictures, options.repeats)


def load_photographs() -> list[Image.Image]:
    """Loads photographs that come with scikit-image."""
    from skimage import data

    loaders = (data.astronaut, data.chelsea, data.coffee, data.rocket, data.hubble_deep_field)
    return [Image.fromarray(load()) for load in loaders]


def write_photographs(folder: pathlib.Path, n: int, size: tuple[int, int]) -> pathlib.Path:
    """Writes JPEGs of random crops that keep at least 3/4 of each side of a photograph."""
    folder.mkdir()
    rng, photographs = np.random.default_rng(0), load_photographs()
    for i in range(n):
        picture = photographs[i % len(photographs)]
        share = rng.uniform(0.75, 1.0)
        width, height = (round(share * side) for side in picture.size)
        left = rng.integers(picture.width - width + 1)
        top = rng.integers(picture.height - height + 1)
        box = (left, top, left + width, top + height)
        resized = picture.resize(size, Image.Resampling.BICUBIC, box=box)
        resized.save(folder / f"{i:06}.jpg", quality=90)
    return folder


def squashed_size(image_size: int) -> int:
    """Returns the side of the image before it is cropped, e.g. 256 for 224 x 224 crops."""
    return image_size * 8 // 7


def hashnet_updater(
    folder: pathlib.Path, backbone: str, image_size: int, options: argparse.Namespace
) -> Callable[[pathlib.Path], None]:
    """Returns a function ``pictures -> None`` that indexes pictures into a new store."""
    resize = squashed_size(image_size)
    spec = ModelSpec(backbone, options.bits, image_size=image_size, resize=resize)
    run_folder = folder / backbone
    run_folder.mkdir()
    hashnet_jax.save(run_folder, hashnet_jax.init(jax.random.key(0), spec))
    engine = LocalEngine(options.batch_size, local_devices(1))

    def update(pictures: pathlib.Path) -> None:
        quiet = contextlib.redirect_stderr(io.StringIO())
        with tempfile.TemporaryDirectory() as parent, quiet:
            store = create_store(pathlib.Path(parent, "store"), StoreManifest.of_run(run_folder))
            update_store(store, run_folder, [pictures], engine=engine)

    return update


class TorchEncoder:
    """A function ``pictures -> None`` that encodes a folder in a separate PyTorch process."""

    def __init__(self, backbone: str, workers: int, image_size: int, options: argparse.Namespace):
        numbers = (workers, image_size, squashed_size(image_size), options.batch_size, options.bits)
        self.process = subprocess.Popen(
            module_command("torch_folder", backbone, *numbers),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, pictures: pathlib.Path) -> None:
        print(pictures, file=self.process.stdin, flush=True)
        if not self.process.stdout.readline():
            raise RuntimeError(f"torch_folder.py exited with status {self.process.wait()}.")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def torch_encoders(
    backbone: str, image_size: int, options: argparse.Namespace
) -> dict[str, TorchEncoder]:
    return {
        f"PyTorch DataLoader, {workers} workers": TorchEncoder(
            backbone, workers, image_size, options
        )
        for workers in (DATA_LOADER_WORKERS[1:] if options.small else DATA_LOADER_WORKERS)
    }


def measure_in_turn(
    case: str,
    contenders: dict[str, Callable[[pathlib.Path], None]],
    few: pathlib.Path,
    pictures: pathlib.Path,
    repeats: int,
) -> Iterator[Row]:
    """Times the contenders in turn, after a warm-up on a few pictures."""
    seconds: dict[str, list[float]] = {by: [] for by in contenders}
    try:
        for encode in contenders.values():
            encode(few)
        for _ in range(repeats):
            for by, encode in contenders.items():
                start = time.perf_counter()
                encode(pictures)
                seconds[by].append(time.perf_counter() - start)
    finally:
        for encode in contenders.values():
            if isinstance(encode, TorchEncoder):
                encode.close()
    number = len(list(pictures.iterdir()))
    for by, times in seconds.items():
        row = Row("folder", case, by, times, items=number, unit="images")
        if by.startswith("hashnet_jax"):
            row.note = "including loading and hashing the weights"
        yield row
