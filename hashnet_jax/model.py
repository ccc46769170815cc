"""The network as pure functions of a pytree: ModelSpec, HashNetParams, init, features, logits.

A backbone turns images into features [B, D], the hash layer turns features into logits [B, K].
This file and `backbones/` are the only ones that know flax.
"""

import dataclasses
import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import export

from hashnet_jax.backbones import BACKBONES, IMAGENET_MEAN, IMAGENET_STD


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """What is static about a network: hashable, and saved with its weights.

    Attributes:
      backbone: a name in ``hashnet_jax.backbones.BACKBONES``.
      bits: K, the length of a code, >= 1.
      image_size: side of the square image that the backbone sees, pixels.
      resize: side of the square that an image is squashed to before the centre of ``image_size``
        is cut out, pixels, >= ``image_size``.
      mean, std: of each RGB channel, on the scale 0..1; an image enters as (x/255 - mean)/std.
      dtype: of the computation, ``"float32"`` or ``"bfloat16"``; parameters are float32.

    Raises:
      ValueError: for a value out of range.

    Examples:
      >>> ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8).bits
      12
      >>> ModelSpec(backbone="lenet")
      Traceback (most recent call last):
      ...
      ValueError: backbone must be one of small_cnn, alexnet, vgg11, ..., got 'lenet'.
    """

    backbone: str = "alexnet"
    bits: int = 48
    image_size: int = 224
    resize: int = 256
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    dtype: str = "float32"

    def __post_init__(self):
        # JSON has no tuples; the fields must be hashable.
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "std", tuple(self.std))
        if self.backbone not in BACKBONES:
            names = ", ".join(BACKBONES)
            raise ValueError(f"backbone must be one of {names}, got {self.backbone!r}.")
        if self.bits < 1:
            raise ValueError(f"bits must be >= 1, got {self.bits}.")
        smallest = BACKBONES[self.backbone].smallest
        if not smallest <= self.image_size <= self.resize:
            raise ValueError(
                f"{self.backbone} needs {smallest} <= image_size <= resize, got "
                f"image_size={self.image_size}, resize={self.resize}."
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                f"mean and std must have three entries, std > 0, got {self.mean}, {self.std}."
            )
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype must be 'float32' or 'bfloat16', got {self.dtype!r}.")

    @classmethod
    def for_backbone(cls, backbone, *, bits=48, dtype="float32"):
        """The spec with the image sizes, mean and std that a backbone's public weights expect.

        Examples:
          >>> spec = ModelSpec.for_backbone("vit_b16", bits=64)
          >>> spec.bits, spec.image_size, spec.resize, spec.mean
          (64, 224, 248, (0.5, 0.5, 0.5))
        """
        spec = cls(backbone, bits=bits, dtype=dtype)
        like = BACKBONES[backbone]
        return dataclasses.replace(
            spec, image_size=like.image_size, resize=like.resize, mean=like.mean, std=like.std
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HashNetParams:
    """A network's arrays and its spec: a pytree whose structure carries the spec.

    Attributes:
      variables: ``{"params": {"backbone": ..., "hash": ...}, "batch_stats": ...}``, float32;
        ``batch_stats`` is empty for a backbone without batch normalisation. A hash layer alone,
        see :mod:`hashnet_jax.frozen`, has no "backbone", and takes features ``[B, D]``.
      spec: the static :class:`ModelSpec`.
    """

    variables: dict[str, Any]
    spec: ModelSpec = dataclasses.field(metadata={"static": True})


export.register_pytree_node_serialization(
    HashNetParams,
    serialized_name="hashnet_jax.HashNetParams",
    serialize_auxdata=lambda aux: json.dumps(dataclasses.asdict(aux[0])).encode(),
    deserialize_auxdata=lambda data: (ModelSpec(**json.loads(data)),),
)


class HashNetwork(nn.Module):
    """Backbone and hash layer; the latter's weights start as N(0, 0.01), its bias as 0."""

    spec: ModelSpec
    axis_name: str | None = None

    def setup(self):
        dtype = jnp.dtype(self.spec.dtype)
        build = BACKBONES[self.spec.backbone].build
        self.backbone = build(dtype=dtype, axis_name=self.axis_name)
        self.hash = nn.Dense(
            self.spec.bits, dtype=dtype, kernel_init=nn.initializers.normal(stddev=0.01)
        )

    def __call__(self, images, train=False):
        return self.hash(self.features(images, train)).astype(jnp.float32)

    def features(self, images, train=False):
        # A hash layer alone, whose backbone is frozen, is given features: [B, D].
        return images if images.ndim == 2 else self.backbone(images, train)


def init(key, spec):
    """A network with random weights.

    Args:
      key: a ``jax.random.key``.
      spec: :class:`ModelSpec`.

    Returns:
      :class:`HashNetParams`, float32.

    Examples:
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> params = init(jax.random.key(0), spec)
      >>> params.variables["params"]["hash"]["kernel"].shape
      (256, 12)
    """
    image = jnp.zeros((1, spec.image_size, spec.image_size, 3))
    variables = jax.jit(HashNetwork(spec).init)(key, image)
    return HashNetParams({"batch_stats": {}, **variables}, spec)


def logits(params, images):
    """The output z of the hash layer, at use: running statistics, no dropout.

    Args:
      params: :class:`HashNetParams`.
      images: float ``[B, S, S, 3]``, preprocessed, S = ``params.spec.image_size``.

    Returns:
      float32 ``[B, K]``.

    Raises:
      ValueError: if the images have another shape.

    Examples:
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> logits(init(jax.random.key(0), spec), jnp.zeros((2, 8, 8, 3))).shape
      (2, 12)
    """
    check_preprocessed(params, images)
    return HashNetwork(params.spec).apply(params.variables, images)


def features(params, images):
    """The backbone's features, at use.

    Args:
      params: :class:`HashNetParams`.
      images: float ``[B, S, S, 3]``, preprocessed.

    Returns:
      ``[B, D]`` in the spec's dtype.

    Raises:
      ValueError: if the images have another shape.

    Examples:
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> features(init(jax.random.key(0), spec), jnp.zeros((2, 8, 8, 3))).shape
      (2, 256)
    """
    check_preprocessed(params, images)
    return HashNetwork(params.spec).apply(params.variables, images, method="features")


def training_logits(params, images, *, key, axis_name=None, backbone_mode="train"):
    """The output z of the hash layer in training: batch statistics and dropout.

    In inference mode it is :func:`logits`: the weights learn with the running statistics that they
    are used with. In training mode, pretrained weights meet other statistics than they were made
    for, and the running ones follow too slowly for a short run.

    Args:
      params: :class:`HashNetParams`.
      images: float ``[B, S, S, 3]``, preprocessed.
      key: a ``jax.random.key`` for dropout, the same on all devices.
      axis_name: the mapped axis that batch statistics are taken over, if any.
      backbone_mode: ``"train"`` or ``"inference"``, see :class:`hashnet_jax.optim.TrainSpec`.

    Returns:
      ``(logits, batch_stats)``: float32 ``[B, K]``, and the new running statistics.

    Raises:
      ValueError: if the images have another shape.

    Examples:
      >>> spec = ModelSpec(backbone="small_cnn", bits=12, image_size=8, resize=8)
      >>> params = init(jax.random.key(0), spec)
      >>> z, batch_stats = training_logits(params, jnp.ones((2, 8, 8, 3)), key=jax.random.key(1))
      >>> z.shape, jax.tree.structure(batch_stats) == jax.tree.structure(
      ...     params.variables["batch_stats"])
      ((2, 12), True)
    """
    check_preprocessed(params, images)
    if backbone_mode == "inference":
        return logits(params, images), params.variables["batch_stats"]
    z, updates = HashNetwork(params.spec, axis_name).apply(
        params.variables, images, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
    )
    return z, updates.get("batch_stats", {})


def check_preprocessed(params, images):
    """Raises ValueError unless ``images`` are what the backbone of ``params`` takes."""
    if "backbone" not in params.variables["params"]:
        n_features = params.variables["params"]["hash"]["kernel"].shape[0]
        if jnp.ndim(images) != 2 or jnp.shape(images)[1] != n_features:
            raise ValueError(
                f"a hash layer alone takes features [B, {n_features}], got {jnp.shape(images)}: "
                "give it what hashnet_jax.model.features gives, or join it with its backbone."
            )
        return
    size = params.spec.image_size
    if jnp.ndim(images) != 4 or jnp.shape(images)[1:] != (size, size, 3):
        raise ValueError(
            f"preprocessed images must be [B, {size}, {size}, 3], got {jnp.shape(images)}: pass "
            "uint8 images of any size to hashnet_jax.encode, or resize them."
        )
