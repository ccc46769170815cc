"""Tests that CIFAR-10 is the same from its binary files as from TFDS."""

import io
import random

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from hashnet_jax.data import DATASETS, Options
from hashnet_jax.data.cifar10 import TEST_FILES, TRAIN_FILES
from hashnet_jax.data.content import content_digest
from hashnet_jax.distributed.reading import DamagedFile
from tests.data.tfds_folders import prepare

CLASSES = ("airplane", "automobile", "bird")
PER_FILE = 6
SIZES = {"queries_per_class": 2, "train_per_class": 3}
NOTES = (
    "training images: 50,000 are published, but 30 were found",
    "test images: 10,000 are published, but 6 were found",
)


def examples(first, count):
    """Returns ``(class, image)`` of some examples; their classes follow no pattern."""
    for seed in range(first, first + count):
        image = np.random.default_rng(seed).integers(0, 256, (32, 32, 3)).astype(np.uint8)
        yield (seed * seed + seed // 2) % len(CLASSES), image


def png(image):
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    data.seek(0)
    return data


def split_examples():
    n_train = len(TRAIN_FILES) * PER_FILE
    return {"train": list(examples(0, n_train)), "test": list(examples(n_train, PER_FILE))}


@pytest.fixture
def root(tmp_path):
    """Writes the miniature as binary files: the class, then all red, green and blue levels."""
    root = tmp_path / "cifar-10-batches-bin"
    root.mkdir()
    rows = [row for part in split_examples().values() for row in part]
    for i, name in enumerate((*TRAIN_FILES, *TEST_FILES)):
        content = b""
        for label, image in rows[i * PER_FILE : (i + 1) * PER_FILE]:
            planes = b"".join(image[:, :, channel].tobytes() for channel in range(3))
            content += bytes([label]) + planes
        (root / name).write_bytes(content)
    (root / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n\n")
    return root


@pytest.fixture
def data_dir(tmp_path):
    """Writes the miniature as TFDS prepares it, shuffled."""
    features = {
        "id": tfds.features.Text(),
        "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
        "label": tfds.features.ClassLabel(names=CLASSES),
    }
    shuffled = {}
    for split, part in split_examples().items():
        rows = [
            {"id": f"{split}_{i:05}", "image": png(image), "label": label}
            for i, (label, image) in enumerate(part)
        ]
        shuffled[split] = random.Random(0).sample(rows, len(rows))
    prepare(tmp_path / "tfds", "cifar10", "3.0.2", features, shuffled)
    return tmp_path / "tfds"


def load(root, **options):
    return DATASETS["cifar10"](Options(image_root=str(root), **SIZES | options))


@pytest.mark.parametrize("seed", [0, 1])
def test_split_labels_and_images_are_the_same_from_files_as_from_tfds(root, data_dir, seed):
    files = load(root, split_seed=seed)
    records = DATASETS["cifar10"](Options(data_dir=str(data_dir), split_seed=seed, **SIZES))
    assert files.classes == records.classes == CLASSES
    expected = [row for part in split_examples().values() for row in part]
    np.testing.assert_array_equal(files.labels, [label for label, _ in expected])
    np.testing.assert_array_equal(records.labels, files.labels)
    for i, (_, image) in enumerate(expected):
        np.testing.assert_array_equal(files.source[i], image)
        np.testing.assert_array_equal(records.source[i], image)
    for name, part in records.split.parts().items():
        np.testing.assert_array_equal(files.split.parts()[name], part)
    everything = np.arange(len(expected))
    assert content_digest(files.source, everything) == content_digest(records.source, everything)
    assert (files.notes, records.notes) == (NOTES, ())


def test_missing_files_are_named_with_the_remedy(root):
    (root / "data_batch_3.bin").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"lacks data_batch_3\.bin; it contains .*Download cifar-10-binary"
    ):
        load(root)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it has 0 bytes"),
        (bytes(3072), "it has 3,072 bytes, not a multiple of 3,073"),
        (bytes([3]) + bytes(3072), "it has class 3, but batches.meta.txt names 3 classes"),
    ],
)
def test_a_damaged_file_is_named(root, content, reason):
    (root / "data_batch_2.bin").write_bytes(content)
    with pytest.raises(DamagedFile, match=rf"data_batch_2\.bin is damaged .*{reason}"):
        load(root)


def test_damaged_class_names_of_tfds_are_named(data_dir):
    (data_dir / "cifar10" / "3.0.2" / "label.labels.txt").write_text("airplane\n")
    with pytest.raises(DamagedFile, match=r"label\.labels\.txt is damaged"):
        DATASETS["cifar10"](Options(data_dir=str(data_dir), **SIZES))


def test_options_for_tfds_do_not_apply_to_files(root):
    with pytest.raises(ValueError, match="`data_dir` does not apply to cifar10 with `image_root`"):
        load(root, data_dir="x")
    with pytest.raises(ValueError, match="`lists` does not apply to cifar10"):
        load(root, lists="x")
