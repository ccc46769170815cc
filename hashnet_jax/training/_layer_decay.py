"""Layer-wise decay of the learning rate: early layers of a pretrained transformer move least.

Reference: Bao et al., "BEiT: BERT Pre-Training of Image Transformers", ICLR 2022.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import optax

from hashnet_jax.backbones import BACKBONES
from hashnet_jax.training._spec import TrainSpec

_BLOCK = re.compile(r"block(\d+)")


def layer_factors(parameters: Mapping[str, Any], *, decay: float, backbone: str) -> Any:
    """Returns the factor of the learning rate for each array of a backbone.

    Block i of L has ``decay ** (L - i)``, the layers before the blocks ``decay ** L``, and those
    after them 1.

    Args:
      parameters: the backbone's parameters, ``params.variables["params"]["backbone"]``.
      decay: ratio of the learning rates of successive blocks, in (0, 1].
      backbone: name of the backbone in ``hashnet_jax.backbones.BACKBONES``.

    Returns:
      A pytree of floats with the structure of ``parameters``.

    Examples:
      >>> tree = {"patch_embed": 0.0, "block1": 0.0, "block2": 0.0, "norm": 0.0}
      >>> layer_factors(tree, decay=0.5, backbone="vit_s16")
      {'block1': 0.5, 'block2': 1.0, 'norm': 1.0, 'patch_embed': 0.25}
    """
    depth = sum(_BLOCK.fullmatch(name) is not None for name in parameters)

    def factor(path: tuple[Any, ...], _: Any) -> float:
        name = path[0].key
        if name in BACKBONES[backbone].first_layers:
            return decay**depth
        block = _BLOCK.fullmatch(name)
        return decay ** (depth - int(block[1])) if block else 1.0

    return jax.tree.map_with_path(factor, parameters)


def scale_by_layer(*, decay: float, backbone: str) -> optax.GradientTransformation:
    """Multiplies the updates of ``{"backbone": ...}`` by :func:`layer_factors`."""

    def scaled(updates: Any, params: Any = None) -> Any:
        del params
        factors = layer_factors(updates["backbone"], decay=decay, backbone=backbone)
        moved = jax.tree.map(lambda update, by: update * by, updates["backbone"], factors)
        return {**updates, "backbone": moved}

    return optax.stateless(scaled)


def check_layer_decay(spec: TrainSpec, *, backbone: str) -> None:
    """Checks that learning rates may decay from block to block of a backbone, if they do.

    Args:
      spec: the training hyperparameters, :class:`TrainSpec`.
      backbone: name of a backbone in ``hashnet_jax.backbones.BACKBONES``.

    Raises:
      ValueError: if ``spec.layer_decay`` is below 1, and the backbone is no transformer.

    Examples:
      >>> check_layer_decay(TrainSpec(layer_decay=0.75), backbone="resnet50")
      Traceback (most recent call last):
      ...
      ValueError: `layer_decay=0.75` requires a transformer, one of vit_s16, ...
    """
    if spec.layer_decay == 1 or BACKBONES[backbone].first_layers:
        return
    possible = [name for name, member in BACKBONES.items() if member.first_layers]
    raise ValueError(
        f"`layer_decay={spec.layer_decay}` requires a transformer, one of {', '.join(possible)}, "
        f"got {backbone!r}. Set `backbone` to one of them, or leave out `layer_decay`."
    )
