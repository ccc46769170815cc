"""Helpers for testing the `hashnet` command with a tiny random network and folders of pictures."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
from PIL import Image

import hashnet_jax
from hashnet_jax.cli import main

ROOT = Path(__file__).parents[2]


def make_run(folder, seed=0):
    folder.mkdir(parents=True)
    spec = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
    hashnet_jax.save(folder, hashnet_jax.init(jax.random.key(seed), spec))
    return folder


def make_pictures(folder, count, size=(12, 10)):
    """Writes pictures with large patches of colour, which even a random network can distinguish."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        few = rng.integers(0, 256, (3, 3, 3)).astype(np.uint8)
        Image.fromarray(few).resize(size, Image.Resampling.NEAREST).save(folder / f"{i:04}.png")
    return folder


def hashnet(*args):
    """Runs the command in this process and returns its exit status."""
    return main([str(arg) for arg in args])


def start(*args, **kwargs):
    """Starts the command in its own process, with warnings as errors."""
    command = [sys.executable, "-m", "hashnet_jax.cli", *map(str, args)]
    pipe, env = subprocess.PIPE, environment()
    return subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True, **kwargs)


def environment():
    """Returns the environment of a process of its own, with warnings as errors."""
    own = {"XLA_FLAGS": "", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return os.environ | own


def content(folder):
    """Returns the content of all files in a folder and its subfolders, keyed by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
