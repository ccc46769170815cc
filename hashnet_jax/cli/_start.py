"""Initializes the train state from random weights, pretrained weights or a finished run."""

import contextlib
import dataclasses
from pathlib import Path

import jax

import hashnet_jax
from hashnet_jax.configs import Config
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.files import sha256
from hashnet_jax.model import HashNetParams, ModelSpec
from hashnet_jax.training import Checkpoints, RunFolder, TrainState, init_state
from hashnet_jax.weights import MODEL_FILE as MODEL
from hashnet_jax.weights import find_weights, load_backbone


def initial_state(config: Config) -> TrainState:
    """The state before the first step, with a random or pretrained backbone.

    Raises:
      FileNotFoundError: if the pretrained weights file does not exist.
      ValueError: if the file does not match the network, or has changed since the run started.
    """
    state = init_state(jax.random.key(config.seed), config.model, config.train)
    if config.pretrained == "none":
        return state
    file = find_weights(config.model.backbone, config.pretrained)
    if config.pretrained_sha256 not in (None, sha256(file)):
        raise ValueError(
            f"{file} has changed since the run started (its SHA-256 was "
            f"{config.pretrained_sha256}): restore the file, or start another run."
        )
    if file.name == MODEL:
        params = trained_network(file.parent, config.model)
    else:
        params = load_backbone(state.params, file)
    return dataclasses.replace(state, params=params)


def trained_network(run_dir: Path, spec: ModelSpec) -> HashNetParams:
    """Loads the network of a finished run, including its hash layer, for further training.

    Raises:
      ValueError: if its backbone, number of bits, mean or std differ from ``spec``.
    """
    params = hashnet_jax.load(run_dir)
    # The image size and the compute dtype may differ.
    own = dataclasses.replace(
        params.spec, image_size=spec.image_size, resize=spec.resize, dtype=spec.dtype
    )
    if own != spec:
        raise ValueError(
            "the backbone, bits, mean and std must be those of the run to start from, "
            f"{params.spec} in {run_dir}, got {spec}: set `backbone` and `bits` accordingly."
        )
    return dataclasses.replace(params, spec=spec)


def start_state(config: Config, folder: RunFolder) -> TrainState:
    """The state to start from. Does not load pretrained weights that a checkpoint will replace.

    With a frozen backbone they are always loaded, since checkpoints hold only the hash layer.
    """
    if has_checkpoint(folder) and not config.freeze_backbone:
        return init_state(jax.random.key(config.seed), config.model, config.train)
    return processes.together(lambda: initial_state(config))


def has_checkpoint(folder: RunFolder) -> bool:
    """Whether the run has a complete checkpoint."""
    path = folder.path / "checkpoints"
    if not processes.from_first(path.is_dir):
        return False
    with contextlib.closing(Checkpoints(path, read_only=True)) as checkpoints:
        return checkpoints.latest_step() is not None
