"""A miniature of ILSVRC2012: as TFDS prepares it, and as files in both usual layouts."""

import io
import random
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from hashnet_jax.data import imagenet100
from tests.data.tfds_folders import prepare

# Two classes that are not in ImageNet-100, before and after all others.
OTHER_CLASSES = ("n01440764", "n15075141")
CLASSES = imagenet100.class_names()
# As text, these numbers have another order.
TRAIN_NUMBERS = (9, 10_026, 101)
SIDEWAYS = 6  # an EXIF orientation


def jpeg(seed: int) -> bytes:
    """Returns a JPEG file of 9 x 7 pixels; every third one has an EXIF orientation."""
    levels = np.random.default_rng(seed).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    exif = Image.Exif()
    if seed % 3 == 0:
        exif[0x0112] = SIDEWAYS
    data = io.BytesIO()
    Image.fromarray(levels).save(data, "JPEG", quality=95, exif=exif)
    return data.getvalue()


def train_files() -> dict[str, tuple[str, bytes]]:
    """Returns ``{file name: (class, content)}``."""
    keys = [(wnid, n) for wnid in (*CLASSES, *OTHER_CLASSES) for n in TRAIN_NUMBERS]
    return {f"{wnid}_{n}.JPEG": (wnid, jpeg(i)) for i, (wnid, n) in enumerate(keys)}


def validation_files(per_class: int = 2) -> dict[str, tuple[str, bytes]]:
    """Returns ``{file name: (published class, content)}``; the first is of no class of ours."""
    files = {"ILSVRC2012_val_00000001.JPEG": ("n01751748", jpeg(0))}
    seen = dict.fromkeys(CLASSES, 0)
    for number, label in imagenet100.published_validation_labels().items():
        wnid = CLASSES[label]
        seen[wnid] += 1
        if seen[wnid] <= per_class:
            files[f"ILSVRC2012_val_{number:08}.JPEG"] = (wnid, jpeg(number))
    return files


def write_files(root: Path, *, flat: bool) -> Path:
    """Writes the miniature as people have it, with validation pictures sorted into folders or not.

    Returns:
      ``root``.
    """
    for name, (wnid, content) in train_files().items():
        (root / "train" / wnid).mkdir(parents=True, exist_ok=True)
        (root / "train" / wnid / name).write_bytes(content)
    for name, (wnid, content) in validation_files().items():
        folder = root / "val" / ("" if flat else wnid)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return root


def write_tfds(data_dir: Path) -> Path:
    """Writes the miniature as TFDS prepares it, shuffled; returns ``data_dir``."""
    names = sorted({*CLASSES, *OTHER_CLASSES, "n01751748"})
    random.Random(1).shuffle(names)
    features = {
        "image": tfds.features.Image(encoding_format="jpeg"),
        "label": tfds.features.ClassLabel(names=names),
        "file_name": tfds.features.Text(),
    }
    examples = {}
    for split, files in (("train", train_files()), ("validation", validation_files())):
        rows = [
            {"image": io.BytesIO(content), "label": wnid, "file_name": name}
            for name, (wnid, content) in files.items()
        ]
        examples[split] = random.Random(0).sample(rows, len(rows))
    prepare(data_dir, "imagenet2012", "5.1.0", features, examples)
    return data_dir
