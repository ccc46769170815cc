"""Loads public weights from a PyTorch or safetensors file into HashNetParams.

::

    params = hashnet_jax.init(key, ModelSpec.for_backbone("resnet50"))
    params = load_backbone(params, "resnet50-0676ba61.pth")
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Shaped

from hashnet_jax.backbones import BACKBONES, Target
from hashnet_jax.model import HashNetParams
from hashnet_jax.weights._fetch import backbones_with_weights
from hashnet_jax.weights._mismatch import check_tensors
from hashnet_jax.weights._tensor_files import read_tensors

# Tensors, keyed by name.
Tensors = Mapping[str, Shaped[Array | np.ndarray, "..."]]


def load_backbone(params: HashNetParams, path: str | os.PathLike[str]) -> HashNetParams:
    """Replaces the backbone's weights with those in a file; the hash layer is unchanged.

    The weights expect the preprocessing they were trained with: create ``params`` from
    ``ModelSpec.for_backbone(backbone)``, or from a spec with these weights' mean and std.

    Args:
      params: the network, :class:`hashnet_jax.HashNetParams` with a backbone that has public
        weights.
      path: a .pth or .pt file written by ``torch.save(model.state_dict(), path)``, or a
        .safetensors file.

    Returns:
      :class:`hashnet_jax.HashNetParams` with the same spec.

    Raises:
      FileNotFoundError: if there is no such file.
      ModuleNotFoundError: if torch (for .pth) or safetensors is missing or too old.
      ValueError: if the file is damaged, contains anything but tensors, or has tensors that do not
        match the backbone. Code in the file is never executed.
    """
    tensors = read_tensors(path)
    try:
        return convert_backbone(params, tensors)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def convert_backbone(params: HashNetParams, tensors: Tensors) -> HashNetParams:
    """Replaces the backbone's weights with the given tensors.

    Args:
      params: the network, :class:`hashnet_jax.HashNetParams`.
      tensors: ``{name: array}`` with the names and shapes used in the public weights files, see
        :class:`hashnet_jax.backbones.PublicWeights`; the classifier may be included.

    Returns:
      :class:`hashnet_jax.HashNetParams` with the same spec, float32.

    Raises:
      ValueError: if any tensors are missing, extra or misshaped; the message names them.

    Examples:
      >>> import hashnet_jax
      >>> spec = hashnet_jax.ModelSpec("resnet18", image_size=32, resize=32)
      >>> params = jax.eval_shape(lambda: hashnet_jax.init(jax.random.key(0), spec))
      >>> convert_backbone(params, {"conv1.weight": jnp.zeros((64, 3, 3, 3))})
      Traceback (most recent call last):
      ...
      ValueError: the tensors do not match resnet18 at 32 pixels; missing: bn1.weight, ...
      and 79 more; misshaped: conv1.weight must be (64, 3, 7, 7), got (64, 3, 3, 3).
    """
    targets = _targets(params.spec.backbone)
    sources = {
        f"{target.collection}/{target.path}": (name, target)
        for name, target in targets.items()
        if target is not None
    }
    old = {kind: params.variables[kind].get("backbone", {}) for kind in ("params", "batch_stats")}
    leaves = {_joined(path): leaf for path, leaf in jax.tree.leaves_with_path(old)}
    shapes = {
        name: target.file_shape(leaves[place].shape) for place, (name, target) in sources.items()
    }
    check_tensors(tensors, shapes, set(targets), params.spec)

    def converted(path: tuple[Any, ...], _: Any) -> Array:
        name, target = sources[_joined(path)]
        # Copy, so that JAX never shares memory with torch.
        return jnp.array(target.convert(tensors[name]), jnp.float32)

    new = jax.tree.map_with_path(converted, old)
    variables = params.variables | {
        kind: params.variables[kind] | {"backbone": backbone_variables}
        for kind, backbone_variables in new.items()
        if backbone_variables
    }
    return dataclasses.replace(params, variables=variables)


def _targets(backbone: str) -> Mapping[str, Target | None]:
    """Maps the tensor names in a backbone's public weights to their places in the network."""
    public = BACKBONES[backbone].weights
    if public is None:
        raise ValueError(
            f"{backbone} has no public weights. Choose one of "
            f"{', '.join(backbones_with_weights())}."
        )
    return public.tensor_names()


def _joined(path: tuple[Any, ...]) -> str:
    return "/".join(key.key for key in path)
