"""Initializes the train state from random weights, pretrained weights or a finished run."""

import contextlib
import dataclasses
from pathlib import Path

import jax
from jaxtyping import Array, Key

import hashnet_jax
from hashnet_jax.configs import Config
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.files import sha256
from hashnet_jax.model import HashNetParams, ModelSpec, check_finite, init_hash_layer
from hashnet_jax.training import Checkpoints, RunFolder, TrainState, init_state
from hashnet_jax.weights import MODEL_FILE as MODEL
from hashnet_jax.weights import find_weights, load_backbone


def initial_state(config: Config) -> TrainState:
    """Returns the train state before the first step, with a random or pretrained backbone.

    Raises:
      FileNotFoundError: if the pretrained weights file does not exist.
      ValueError: if the weights file does not match the network, or has changed since the run
        started.
    """
    key = jax.random.key(config.seed)
    train = config.train
    if train.learning_rate is None:
        # The learning rate is found later, on this network's features. The initial state does not
        # depend on it.
        train = dataclasses.replace(train, learning_rate=1.0)
    if config.pretrained == "none":
        return init_state(key, config.model, train)
    file = find_weights(config.model.backbone, config.pretrained)
    if config.pretrained_sha256 not in (None, sha256(file)):
        raise ValueError(
            f"{file} has changed since the run started (its SHA-256 was "
            f"{config.pretrained_sha256}). Restore the file or start a new run."
        )

    def initialize(key: Key[Array, ""], spec: ModelSpec) -> HashNetParams:
        if file.name == MODEL:
            return trained_network(file.parent, spec)
        return load_backbone(init_hash_layer(key, spec), file)

    state = init_state(key, config.model, train, initialize=initialize)
    try:
        check_finite(state.params)
    except ValueError as error:
        raise ValueError(
            f"{file} must contain only finite weights ({error}). Set `pretrained` to other weights."
        ) from error
    return state


def trained_network(run_dir: Path, spec: ModelSpec) -> HashNetParams:
    """Loads the network of a finished run, including its hash layer, for further training.

    Raises:
      ValueError: if the network's backbone, number of bits, mean or std does not match ``spec``.
    """
    params = hashnet_jax.load(run_dir)
    # The image size and the compute dtype may differ.
    own = dataclasses.replace(
        params.spec, image_size=spec.image_size, resize=spec.resize, dtype=spec.dtype
    )
    if own != spec:
        raise ValueError(
            f"the backbone, bits, mean and std must match the network in {run_dir}, which has "
            f"{params.spec}, but got {spec}. Set `backbone` and `bits` to match."
        )
    return dataclasses.replace(params, spec=spec)


def start_state(config: Config, folder: RunFolder) -> TrainState:
    """Returns the state to start training from.

    Pretrained weights are not loaded if a checkpoint will replace them. A frozen backbone's weights
    are always loaded, because the checkpoints of its run contain only the hash layer.
    """
    if has_checkpoint(folder) and not config.freeze_backbone:
        return init_state(jax.random.key(config.seed), config.model, config.train)
    return processes.together(lambda: initial_state(config))


def has_checkpoint(folder: RunFolder) -> bool:
    """Returns whether the run has a complete checkpoint."""
    path = folder.path / "checkpoints"
    if not processes.from_first(path.is_dir):
        return False
    with contextlib.closing(Checkpoints(path, read_only=True)) as checkpoints:
        return checkpoints.latest_step() is not None
