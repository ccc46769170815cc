"""The network as pure functions of a pytree: initialization, features and logits.

A backbone maps images to features [B, D], and the hash layer maps features to logits [B, K].
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Key

from hashnet_jax.backbones import BACKBONES
from hashnet_jax.model._params import HashNetParams
from hashnet_jax.model._spec import ModelSpec

# Preprocessed images, or features for a hash layer alone.
NetworkInput = Float[Array | np.ndarray, "B S S 3"] | Float[Array | np.ndarray, "B D"]


class HashNetwork(nn.Module):
    """A backbone and a hash layer, whose weights start from N(0, 0.01²) and biases from 0."""

    spec: ModelSpec
    axis_name: str | None = None

    def setup(self) -> None:
        dtype = jnp.dtype(self.spec.dtype)
        build = BACKBONES[self.spec.backbone].build
        self.backbone = build(dtype=dtype, axis_name=self.axis_name)
        self.hash = nn.Dense(
            self.spec.bits, dtype=dtype, kernel_init=nn.initializers.normal(stddev=0.01)
        )

    def __call__(self, images: NetworkInput, train: bool = False) -> Float[Array, "B K"]:
        return self.hash(self.extract_features(images, train)).astype(jnp.float32)

    def extract_features(
        self, images: NetworkInput, train: bool = False
    ) -> Float[Array | np.ndarray, "B D"]:
        # A hash layer trained without its frozen backbone takes features [B, D].
        return images if images.ndim == 2 else self.backbone(images, train)


def init(key: Key[Array, ""], spec: ModelSpec) -> HashNetParams:
    """Initializes a network with random weights.

    Args:
      key: a ``jax.random.key`` for the random weights.
      spec: the network's spec, :class:`ModelSpec`.

    Returns:
      :class:`HashNetParams`, float32.

    Examples:
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> params = init(jax.random.key(0), spec)
      >>> params.variables["params"]["hash"]["kernel"].shape
      (256, 12)
    """
    return HashNetParams({"batch_stats": {}, **jax.jit(_initializer(spec))(key)}, spec)


def init_hash_layer(key: Key[Array, ""], spec: ModelSpec) -> HashNetParams:
    """Initializes only the hash layer, for a network whose backbone is loaded from a file.

    Compiling the initialization of a deep backbone takes longer than loading its weights.

    Args:
      key: a ``jax.random.key`` for the random weights.
      spec: the network's spec, :class:`ModelSpec`.

    Returns:
      :class:`HashNetParams` with the same hash layer as ``init(key, spec)``. The backbone's
      variables are placeholders (``jax.ShapeDtypeStruct``), which
      :func:`hashnet_jax.weights.load_backbone` replaces with arrays.

    Examples:
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> params = init_hash_layer(jax.random.key(0), spec)
      >>> params.variables["params"]["backbone"]["conv1_1"]["kernel"]
      ShapeDtypeStruct(shape=(3, 3, 3, 16), dtype=float32)
    """
    initialize = _initializer(spec)
    variables = jax.eval_shape(initialize, key)
    # XLA removes the computation of all other variables.
    layer = jax.jit(lambda key: initialize(key)["params"]["hash"])(key)
    variables = {**variables, "params": {**variables["params"], "hash": layer}}
    return HashNetParams({"batch_stats": {}, **variables}, spec)


def _initializer(spec: ModelSpec) -> Callable[[Key[Array, ""]], dict[str, Any]]:
    image = jnp.zeros((1, spec.image_size, spec.image_size, 3))
    return lambda key: dict(HashNetwork(spec).init(key, image))


def logits(params: HashNetParams, images: NetworkInput) -> Float[Array, "B K"]:
    """Computes the logits z at inference, with running statistics and without dropout.

    Args:
      params: the network, :class:`HashNetParams`.
      images: float ``[B, S, S, 3]``, preprocessed, S = ``params.spec.image_size``.

    Returns:
      float32 ``[B, K]``.

    Raises:
      ValueError: if the images have any other shape.

    Examples:
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> logits(init(jax.random.key(0), spec), jnp.zeros((2, 8, 8, 3))).shape
      (2, 12)
    """
    check_preprocessed(params, images)
    return _apply(HashNetwork(params.spec), params, images)


def extract_features(params: HashNetParams, images: NetworkInput) -> Float[Array, "B D"]:
    """Computes the backbone's features in inference mode.

    Args:
      params: the network, :class:`HashNetParams`.
      images: float ``[B, S, S, 3]``, preprocessed, S = ``params.spec.image_size``.

    Returns:
      Features ``[B, D]`` of dtype ``params.spec.dtype``.

    Raises:
      ValueError: if the images have any other shape.

    Examples:
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> extract_features(init(jax.random.key(0), spec), jnp.zeros((2, 8, 8, 3))).shape
      (2, 256)
    """
    check_preprocessed(params, images)
    return _apply(HashNetwork(params.spec), params, images, method="extract_features")


def training_logits(
    params: HashNetParams,
    images: NetworkInput,
    *,
    key: Key[Array, ""],
    axis_name: str | None = None,
    backbone_mode: str = "train",
) -> tuple[Float[Array, "B K"], dict[str, Any]]:
    """Computes the logits z in training, with batch statistics and dropout.

    With ``backbone_mode="inference"``, training uses the same running statistics as inference, so
    the result equals :func:`logits`. With ``"train"``, the batch statistics differ from the
    statistics that pretrained weights were trained with, and the running statistics adapt too
    slowly for a short run.

    Args:
      params: the network, :class:`HashNetParams`.
      images: float ``[B, S, S, 3]``, preprocessed, S = ``params.spec.image_size``.
      key: a ``jax.random.key`` for dropout, the same on all devices.
      axis_name: the mapped axis over which batch statistics are computed, if any.
      backbone_mode: ``"train"`` or ``"inference"``; see :class:`hashnet_jax.training.TrainSpec`.

    Returns:
      ``(logits, batch_stats)``: float32 ``[B, K]``, and the updated running statistics.

    Raises:
      ValueError: if the shape of ``images`` is wrong, or ``backbone_mode`` is invalid.

    Examples:
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> params = init(jax.random.key(0), spec)
      >>> z, batch_stats = training_logits(params, jnp.ones((2, 8, 8, 3)), key=jax.random.key(1))
      >>> z.shape, jax.tree.structure(batch_stats) == jax.tree.structure(
      ...     params.variables["batch_stats"])
      ((2, 12), True)
    """
    check_preprocessed(params, images)
    if backbone_mode not in ("train", "inference"):
        raise ValueError(f"`backbone_mode` must be 'train' or 'inference', got {backbone_mode!r}.")
    if backbone_mode == "inference":
        return logits(params, images), params.variables["batch_stats"]
    network = HashNetwork(params.spec, axis_name)
    z, updates = _apply(
        network, params, images, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
    )
    return z, updates.get("batch_stats", {})


def _apply(network: HashNetwork, params: HashNetParams, images: Any, **options: Any) -> Any:
    # Flax annotates `apply` as always returning updates, but it only does so with `mutable`.
    return network.apply(params.variables, jnp.asarray(images), **options)


def check_preprocessed(params: HashNetParams, images: NetworkInput) -> None:
    """Raises a ValueError unless ``images`` have the shape that ``params`` expects."""
    shape = jnp.shape(images)
    if "backbone" not in params.variables["params"]:
        n_features = params.variables["params"]["hash"]["kernel"].shape[0]
        if len(shape) != 2 or shape[1] != n_features:
            raise ValueError(
                f"the input to a hash layer must be features [B, {n_features}], got {shape}. Pass "
                "the output of hashnet_jax.model.extract_features, or reattach the hash layer to "
                "its backbone with hashnet_jax.model.with_hash_layer."
            )
        return
    size = params.spec.image_size
    if len(shape) != 4 or shape[1:] != (size, size, 3):
        raise ValueError(
            f"preprocessed `images` must be [B, {size}, {size}, 3], got {shape}. Pass uint8 "
            "images of any size to hashnet_jax.encode, or resize them first."
        )
