"""The state that a run starts from: random, pretrained, or what its checkpoints will replace."""

import contextlib
import dataclasses

import jax

import hashnet_jax
from hashnet_jax import processes
from hashnet_jax.checkpoint import Checkpoints
from hashnet_jax.pretrained import find_weights, load_backbone
from hashnet_jax.state import init_state
from hashnet_jax.weight_files import sha256


def initial_state(config):
    """The state before the first step, its backbone's weights random or pretrained."""
    state = init_state(jax.random.key(config.seed), config.model, config.train)
    if config.pretrained == "none":
        return state
    file = find_weights(config.model.backbone, config.pretrained)
    if config.pretrained_sha256 not in (None, sha256(file)):
        raise ValueError(
            f"{file} must be the file that the run began with (SHA-256 "
            f"{config.pretrained_sha256}), got another content: put it back, or start another run."
        )
    if file.name == "model.npz":
        return dataclasses.replace(state, params=trained_network(file.parent, config.model))
    return dataclasses.replace(state, params=load_backbone(state.params, file))


def trained_network(run_dir, spec):
    """The network of a finished run, its hash layer included, to train further."""
    params = hashnet_jax.load(run_dir)
    # The size of images and the dtype of the computation may be others.
    free = {name: getattr(spec, name) for name in ("image_size", "resize", "dtype")}
    if dataclasses.replace(params.spec, **free) != spec:
        raise ValueError(
            f"a run that starts from another must be of its backbone, bits, mean and std, got "
            f"{spec} for the {params.spec} in {run_dir}: give --backbone and --bits accordingly."
        )
    return dataclasses.replace(params, spec=spec)


def start_state(config, folder):
    """The state to train from; a run that has checkpoints takes its weights from them.

    The checkpoints of a run with a frozen backbone hold its hash layer only.
    """
    if has_checkpoint(folder) and not config.freeze_backbone:
        return init_state(jax.random.key(config.seed), config.model, config.train)
    return processes.together(lambda: initial_state(config))


def has_checkpoint(folder):
    path = folder.path / "checkpoints"
    if not processes.from_first(path.is_dir):
        return False
    with contextlib.closing(Checkpoints(path, read_only=True)) as checkpoints:
        return checkpoints.latest_step() is not None
