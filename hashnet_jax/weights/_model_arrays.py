"""Reads the arrays of a `model.npz` without building its network."""

import os
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from hashnet_jax.distributed.reading import damage_named, read_hashed_npz
from hashnet_jax.weights._model_path import DAMAGE, SPEC_ENTRY, existing_model


class ModelArrays(NamedTuple):
    """The content of a `model.npz` file.

    Attributes:
      spec: the network's spec, as JSON.
      arrays: the network's arrays, keyed by their paths in the pytree, e.g.
        ``"params/hash/kernel"``.
      sha256: SHA-256 of the file.
      is_finite: whether no array contains NaN or infinite values. May be False for arrays whose sum
        overflows.
    """

    spec: str
    arrays: dict[str, np.ndarray]
    sha256: str
    is_finite: bool


def read_arrays(folder: str | os.PathLike[str]) -> ModelArrays:
    """Reads the content of a `model.npz` file in a fraction of the time of :func:`load`.

    The arrays are not checked against the spec, and checksums are not verified: compare the hash to
    detect damage.

    Args:
      folder: the folder of a finished run, or any folder with a `model.npz`.

    Raises:
      FileNotFoundError: if the folder has no `model.npz`.
      NotADirectoryError: if ``folder`` is a file.
      DamagedFile: a ValueError, if the file is damaged.
    """
    path = existing_model(folder)
    arrays, sha256 = read_hashed_npz(path, *DAMAGE)
    with damage_named(path, *DAMAGE):
        spec = str(arrays.pop(SPEC_ENTRY))
        return ModelArrays(spec, arrays, sha256, all(map(_is_finite, arrays.values())))


def _is_finite(array: Shaped[np.ndarray, "..."]) -> bool:
    if array.dtype.kind != "f":
        raise ValueError(f"an array has the dtype {array.dtype} instead of a float dtype")
    # A sum is finite only if all its terms are, and takes less time than testing each of them.
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.sum(array)))
