"""Tests the commands that lead from a folder of pictures to search results."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.integration import ROOT


def command(*args, cwd):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    result = subprocess.run(
        [sys.executable, *map(str, args)], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def write_digits(folder):
    """Writes one subfolder of JPEG files per digit, and a broken picture."""
    digits = load_digits()
    for i, (levels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = folder / f"digit {label}" / f"{i:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(np.round(levels * (255 / 16)).astype(np.uint8))
        picture.resize((40, 40)).save(path)
    (folder / "digit 3" / "broken.jpg").write_bytes(b"broken")


def test_three_commands_lead_from_a_folder_of_pictures_to_the_nearest_ones(tmp_path):
    pytest.importorskip("lancedb")
    write_digits(tmp_path / "digits")
    small = ("--image-size", 16, "--steps", 150, "--batch-size", 64, "--run-dir", "run")
    trained = command(
        ROOT / "experiments" / "run.py", "--dataset", "folder", "--image-root", "digits", *small,
        cwd=tmp_path,
    )  # fmt: skip
    assert "skipped digit 3/broken.jpg: not a picture" in trained
    hashnet = ("-m", "hashnet_jax.cli")
    update = ("index", "update", "run", "digits", "--store", "store")
    indexed = command(*hashnet, *update, cwd=tmp_path)
    assert indexed == "+1,797 new, 0 changed, 0 gone, 1 unreadable\n"
    queries = sorted((tmp_path / "digits").glob("*/*[05].jpg"))[::40]
    found = command(*hashnet, "search", "run", *queries, "--store", "store", "-k", 6, cwd=tmp_path)
    right = total = 0
    for block in found.strip().split("\n\n"):
        query, _, _, *others = block.splitlines()  # the nearest picture is the query itself
        label = Path(query).parent.name
        right += sum(Path(row).parent.name == label for row in others)
        total += len(others)
    assert total == 5 * len(queries)
    assert right > 0.5 * total, "a tenth is chance"
