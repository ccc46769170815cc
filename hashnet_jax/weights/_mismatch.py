"""Checks that tensors match a backbone."""

from collections.abc import Collection, Mapping

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Shaped

from hashnet_jax.backbones import BACKBONES
from hashnet_jax.model import ModelSpec
from hashnet_jax.weights._fetch import backbones_with_weights

MAX_LISTED_NAMES = 20  # maximum number of names to list per kind of mismatch


def check_tensors(
    tensors: Mapping[str, Shaped[Array | np.ndarray, "..."]],
    shapes: Mapping[str, tuple[int, ...]],
    allowed: Collection[str],
    spec: ModelSpec,
) -> None:
    """Raises a ValueError unless tensors have the expected names, shapes and floating-point dtypes.

    The error message lists the mismatches. If the names match other backbones, it lists these too.

    Args:
      tensors: the tensors, keyed by name.
      shapes: the expected shapes of all required tensors, keyed by name.
      allowed: the names of all tensors that may be present.
      spec: spec of the network that the tensors are loaded into.
    """
    problems = {
        "missing": [name for name in shapes if name not in tensors],
        "extra": [name for name in tensors if name not in allowed],
        "misshaped": [
            f"{name} must be {shape}, got {tuple(tensors[name].shape)}"
            for name, shape in shapes.items()
            if name in tensors and tuple(tensors[name].shape) != shape
        ],
        "not floats": [
            f"{name} is {tensors[name].dtype}"
            for name in shapes
            if name in tensors and not jnp.issubdtype(tensors[name].dtype, jnp.floating)
        ],
    }
    if not any(problems.values()):
        return
    lists = [f"{kind}: {_shortened(entries)}" for kind, entries in problems.items() if entries]
    others = [name for name in backbones_with_weights() if name != spec.backbone]
    fitting = [name for name in others if _has_names_of(tensors, name)]
    hint = f", but their names match {' and '.join(fitting)}" if fitting else ""
    raise ValueError(
        f"the tensors do not match {spec.backbone} at {spec.image_size} pixels{hint}; "
        f"{'; '.join(lists)}."
    )


def _shortened(entries: list[str]) -> str:
    hidden = len(entries) - MAX_LISTED_NAMES
    rest = f" and {hidden} more" if hidden > 0 else ""
    return f"{', '.join(entries[:MAX_LISTED_NAMES])}{rest}"


def _has_names_of(tensors: Mapping[str, object], backbone: str) -> bool:
    public = BACKBONES[backbone].weights
    if public is None:
        return False
    targets = public.tensor_names()
    required = {name for name, target in targets.items() if target is not None}
    return required <= tensors.keys() <= targets.keys()
