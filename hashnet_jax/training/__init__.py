"""Training, from a spec to a trained network in a folder.

Suggested reading order:

1. :class:`TrainSpec`: the hyperparameters, hashable and static.
2. :func:`beta_schedule`, :func:`learning_rate_schedule`, :func:`optimizer`: the schedules and the
   optimizer that these hyperparameters define.
3. :class:`TrainState`, :func:`init_state`: everything a step changes, as one pytree.
4. :func:`train_step`: the pure step, ``(state, batch) -> (state, metrics)``.
5. :class:`RunFolder`: the run folder; its docstring lists the files.
6. :class:`Checkpoints`: train states saved in that folder.
7. :func:`fit`: the loop around the step, with metrics, validation and checkpoints. It resumes from
   the latest checkpoint. On a stop signal, it saves a checkpoint and raises :class:`Interrupted`.
   :class:`Callback` receives what it logs; :mod:`hashnet_jax.training.loggers` has callbacks for
   TensorBoard and Weights & Biases.
8. :func:`encode_dataset`, :func:`encode_batches`: encoding a data set with the trained network.
9. :class:`CachedFeatures` and related functions: training only the hash layer, on features from a
   frozen backbone (:func:`load_or_compute_features`, :func:`compute_features`,
   :func:`hash_layer_state`, :func:`feature_batches`, :func:`encode_features`).
10. :func:`search_learning_rate`: the learning rate of a hash layer, found on held-out images.
    :func:`train_layers` trains several hash layers in one compiled program.

A training run from Python::

    state = init_state(jax.random.key(0), model_spec, TrainSpec(total_steps=1000))
    with RunFolder("runs/mine") as folder:
        state, _ = fit(state, dataset, folder, augmentation="flip", batch_size=64, seed=0,
                       devices=local_devices(), checkpoint_every=100)
"""

from hashnet_jax.training._callback import Callback
from hashnet_jax.training._checkpoints import Checkpoints
from hashnet_jax.training._encoding import encode_batches, encode_dataset
from hashnet_jax.training._feature_cache import (
    CachedFeatures,
    compute_features,
    encode_features,
    feature_batches,
    load_or_compute_features,
)
from hashnet_jax.training._feature_scale import FeatureScale
from hashnet_jax.training._hash_layer import HashLayer
from hashnet_jax.training._initial_layer import initial_layer, lda_itq_layer
from hashnet_jax.training._layer_decay import check_layer_decay
from hashnet_jax.training._linear_layer import (
    HashNetLoss,
    LayerLoss,
    rate_unit,
    train_layers,
)
from hashnet_jax.training._loop import fit
from hashnet_jax.training._optimizer import beta_schedule, learning_rate_schedule, optimizer
from hashnet_jax.training._rate_search import RateSearch, search_learning_rate
from hashnet_jax.training._run_folder import RunFolder
from hashnet_jax.training._spec import BACKBONE_MODES, TrainSpec
from hashnet_jax.training._state import TrainState, hash_layer_state, init_state
from hashnet_jax.training._step import configured_loss, train_step
from hashnet_jax.training._step_loop import Interrupted

__all__ = [
    "BACKBONE_MODES",
    "CachedFeatures",
    "Callback",
    "Checkpoints",
    "FeatureScale",
    "HashLayer",
    "HashNetLoss",
    "Interrupted",
    "LayerLoss",
    "RateSearch",
    "RunFolder",
    "TrainSpec",
    "TrainState",
    "beta_schedule",
    "check_layer_decay",
    "compute_features",
    "configured_loss",
    "encode_batches",
    "encode_dataset",
    "encode_features",
    "feature_batches",
    "fit",
    "hash_layer_state",
    "init_state",
    "initial_layer",
    "lda_itq_layer",
    "learning_rate_schedule",
    "load_or_compute_features",
    "optimizer",
    "rate_unit",
    "search_learning_rate",
    "train_layers",
    "train_step",
]
