"""Runs `hashnet` with a backbone of its own, whose published weights are downloaded.

The backbone `served` is small_cnn. Its weights file, at SERVED_URL with the hash SERVED_SHA256,
has a tensor for each array, named after the array's path.
"""

import dataclasses
import os
import sys

import jax

import hashnet_jax
from hashnet_jax.backbones import BACKBONES, PublicWeights, Target, register
from hashnet_jax.cli import main

SPEC = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=32, resize=32)


def tensor_names() -> dict[str, Target | None]:
    """Maps each path to the array in it."""
    shapes = jax.eval_shape(lambda: hashnet_jax.init(jax.random.key(0), SPEC)).variables
    names: dict[str, Target | None] = {}
    for collection, rooms in shapes.items():
        for path, _ in jax.tree_util.tree_leaves_with_path(rooms["backbone"]):
            name = "/".join(key.key for key in path)
            names[name] = Target(collection, name)
    return names


if __name__ == "__main__":
    public = PublicWeights(
        tensor_names, os.environ["SERVED_URL"], sha256=os.environ["SERVED_SHA256"]
    )
    register("served", dataclasses.replace(BACKBONES["small_cnn"], weights=public))
    sys.exit(main())
