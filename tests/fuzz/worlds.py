"""Builds the healthy folders that the campaign damages.

``python -m tests.fuzz.worlds FOLDER`` builds all of them, and with ``--untrained`` those that need
no network to be trained.

::

    pictures/, strangers/    pictures in two classes; the folders hold the same number of them
    run, run_x               finished runs on digits with seeds 0 and 1: same sizes, other content
    half, half_x             the same runs, interrupted after 24 of 30 steps
    folder_half, folder_x    interrupted runs on the pictures
    saved, saved_x           checkpoints that a program has saved
    formats/                 a picture in each format
    lists/, csv/             list files and a CSV file that name the pictures
    features/                cached features of a frozen backbone
    tensors/                 weights as .safetensors and .pth
    *store*, codes*, evaluation*    see tests.fuzz.worlds_of_codes
    tfds/, cache/            prepared mnist and coco/2014, and the cache of their labels
    old_*                    from version 0.1, see tests/data_0_1
"""

import contextlib
import dataclasses
import os
import shutil
import sys
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import hashnet_jax
from hashnet_jax.cli import main
from hashnet_jax.data import DATASETS, Dataset, FileSource, Options, Split, tfds_source
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.training import Checkpoints, _loop, init_state, load_or_compute_features
from tests.fuzz import worlds_of_codes
from tests.fuzz.reader import config_of

OLD = Path(__file__).parents[1] / "data_0_1"
OLD_PICTURES = "/tmp/hashnet_0_1/pictures"
FORMATS = {
    "png": {}, "jpg": {"quality": 80}, "gif": {}, "tif": {"compression": "tiff_lzw"}, "webp": {},
    "bmp": {}, "ppm": {}, "jp2": {}, "avif": {},
}  # fmt: skip
SMALL = (
    "--steps", "30", "--bits", "16", "--batch-size", "32", "--checkpoint-every", "10",
    "--devices", "1", "--no-report",
)  # fmt: skip
STEPS_BEFORE_THE_INTERRUPTION = 24
SMALL_DATA = 8 * 4 * 6 * 3  # bytes: mnist is read into memory, coco from disk


def build(world: Path, *, trained: bool = True) -> None:
    """Builds the healthy folders in a new folder.

    Args:
      world: the folder.
      trained: whether to build those that need a network to be trained, which takes a minute.
    """
    world.mkdir(parents=True)
    _pictures(world)
    _lists(world)
    _tensors(world)
    _tfds(world)
    worlds_of_codes.evaluations(world)
    _old(world)
    if trained:
        _trained(world)


def _trained(world: Path) -> None:
    for seed, suffix in (("0", ""), ("1", "_x")):
        digits = (*SMALL, "--validate-every", "10", "--validation-per-class", "2", "--seed", seed)
        _train(world / f"run{suffix}", *digits)
        with _interrupted():
            _train(world / f"half{suffix}", *digits, status=130)
        pictures = world / ("pictures" if seed == "0" else "strangers")
        folder = ("--dataset", "folder", "--image-root", str(pictures), "--image-size", "8")
        name = "folder_half" if seed == "0" else "folder_x"
        with _interrupted():
            _train(world / name, *folder, *SMALL, "--batch-size", "8", "--seed", seed, status=130)
        _checkpoints(world, int(seed), suffix)
    _features(world)
    worlds_of_codes.stores(world)


@contextlib.contextmanager
def _interrupted():
    """Lets training stop after some steps, as if by Ctrl-C."""
    real = _loop.map_step

    def map_step(*args, **kwargs):
        step, count = real(*args, **kwargs), iter(range(STEPS_BEFORE_THE_INTERRUPTION))

        def counted(*inputs):
            if next(count, None) is None:
                raise KeyboardInterrupt
            return step(*inputs)

        return counted

    with mock.patch.object(_loop, "map_step", map_step):
        yield


def _train(path: Path, *options: str, status: int = 0) -> None:
    got = main(["train", "--run-dir", str(path), *options])
    assert got == status, f"training {path} ended with {got}"


def _pictures(world: Path) -> None:
    rng = np.random.default_rng(0)
    for place in ("pictures", "strangers"):
        for i in range(24):
            folder = world / place / ("cat" if i < 12 else "dog")
            folder.mkdir(parents=True, exist_ok=True)
            blots = rng.integers(0, 256, (3, 3, 3)).astype(np.uint8)
            large = Image.fromarray(blots).resize((12, 10), Image.Resampling.NEAREST)
            large.save(folder / f"{i:02}.png")
        (world / place / "cat" / "broken.png").write_bytes(b"broken")
    for place in ("formats", "formats_x"):
        (world / place).mkdir()
        noise = rng.integers(0, 256, (20, 24, 3)).astype(np.uint8)
        for suffix, options in FORMATS.items():
            Image.fromarray(noise).save(world / place / f"a.{suffix}", **options)


def _checkpoints(world: Path, seed: int, suffix: str) -> None:
    config = config_of(world / "half")
    state = init_state(jax.random.key(seed), config.model, config.train)
    folder = world / f"saved{suffix}" / "checkpoints"
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        for step in (10, 20):
            leaves = jax.tree.map(lambda leaf, step=step: leaf * step, state.params.variables)
            params = dataclasses.replace(state.params, variables=leaves)
            state = dataclasses.replace(state, step=jnp.asarray(step, jnp.int32), params=params)
            checkpoints.save(state, position={"next_batch": step})


def _lists(world: Path) -> None:
    names = sorted(
        str(path.relative_to(world)) for path in (world / "pictures").rglob("[0-9]*.png")
    )
    cats = [int("cat" in name) for name in names]
    lines = [
        f"{name} {cat} {1 - cat} {i % 2}"
        for i, (name, cat) in enumerate(zip(names, cats, strict=True))
    ]
    (world / "lists").mkdir()
    for file, part in (("test", lines[::4]), ("database", lines[1::2]), ("train", lines[1::4])):
        (world / "lists" / f"{file}.txt").write_text("\n".join(part) + "\n")
    (world / "csv").mkdir()
    rows = [f"{name},{'cat' if 'cat' in name else 'dog;pet'}" for name in names]
    (world / "csv" / "labels.csv").write_text("path,labels\n" + "\n".join(rows) + "\n")


def feature_data(world: Path) -> Dataset:
    """The data set whose features are cached."""
    paths = sorted((world / "pictures").rglob("[0-9]*.png"))
    labels = np.arange(len(paths)) % 2
    split = Split(train=range(4, 16), query=range(4), database=range(4, 24))
    names = tuple(path.name for path in paths)
    return Dataset("fuzz", FileSource(paths), labels, ("a", "b"), split, names=names)


def _features(world: Path) -> None:
    """Features in two folders, of which the second has the first's names and another content."""
    params = hashnet_jax.load(world / "run")
    load_or_compute_features(
        world / "features", params, feature_data(world), devices=local_devices(1)
    )
    shutil.copytree(world / "features", world / "features_x")
    for path in (world / "features_x").glob("*.npy"):
        np.save(path, np.load(path)[::-1])


def _tensors(world: Path) -> None:
    import torch
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    for place in ("tensors", "tensors_x"):
        (world / place).mkdir()
        tensors = {name: rng.normal(size=(5, 7)).astype(np.float32) for name in "abc"}
        save_file(tensors, world / place / "w.safetensors")
        torch.save({k: torch.tensor(v) for k, v in tensors.items()}, world / place / "w.pth")


def _tfds(world: Path) -> None:
    import tensorflow_datasets as tfds

    from tests.data.tfds_folders import png, prepare

    label = tfds.features.ClassLabel(names=["zero", "one"])
    small = {"image": tfds.features.Image(shape=(4, 6, 3), encoding_format="png"), "label": label}
    large = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        "image/id": tfds.features.Scalar(np.int64),
        "objects": tfds.features.Sequence({"label": label}),
    }
    for place, offset in (("tfds", 0), ("tfds_x", 1)):
        ids = [(i + offset) % 2 for i in range(8)]

        def digits(count, ids=ids, offset=offset):
            return [{"image": png(9 * i + offset), "label": ids[i]} for i in range(count)]

        def objects(count, first, ids=ids, offset=offset):
            return [
                {
                    "image": png(9 * i + offset),
                    "image/id": first + i,
                    "objects": {"label": [ids[i]]},
                }
                for i in range(count)
            ]

        prepare(world / place, "mnist", "3.0.1", small, {"train": digits(8), "test": digits(6)})
        splits = {"train": objects(8, 0), "validation": objects(6, 8)}
        prepare(world / place, "coco/2014", "1.1.0", large, splits)


def read_tfds(folder: Path, name: str) -> Dataset:
    """Reads a data set of the world, with the cache of labels beside it."""
    sizes = {
        "mnist": Options(data_dir=str(folder), queries_per_class=1, train_per_class=2),
        "coco/2014": Options(data_dir=str(folder), queries=2, train_images=4),
    }
    with mock.patch.dict(os.environ, XDG_CACHE_HOME=str(folder / "cache")):
        return DATASETS[name.split("/")[0]](sizes[name])


def _old(world: Path) -> None:
    """Copies the folders of version 0.1, whose pictures lie elsewhere now."""
    shutil.copytree(OLD / "pictures", world / "old_pictures")
    for name in ("finished", "interrupted", "codes"):
        shutil.copytree(OLD / name, world / f"old_{name}")
    new = str(world / "old_pictures")
    for path in (world / "old_codes" / name for name in ("ids.txt", "manifest.json")):
        path.write_text(path.read_text().replace(OLD_PICTURES, new))
    _old_strangers(world)


def _old_strangers(world: Path) -> None:
    """Folders of the same sizes with other content."""
    for name in ("finished", "interrupted", "codes"):
        shutil.copytree(world / f"old_{name}", world / f"old_{name}_x")
    model = world / "old_finished_x" / "model.npz"
    with np.load(model) as file:
        arrays = {name: file[name] for name in file.files}
    changed = {k: v if v.dtype.kind == "U" else np.roll(v, 1, -1) for k, v in arrays.items()}
    with open(model, "wb") as opened:
        np.savez(opened, **changed)
    codes = world / "old_codes_x"
    np.save(codes / "codes.npy", np.load(codes / "codes.npy")[::-1])
    lines = (codes / "ids.txt").read_text().splitlines(keepends=True)
    (codes / "ids.txt").write_text("".join(reversed(lines)))


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tfds_source.MAX_DECODED_BYTES = SMALL_DATA
    build(Path(sys.argv[1]), trained="--untrained" not in sys.argv)
