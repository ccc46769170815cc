"""Exact search with faiss."""

import importlib.util
import warnings
from types import ModuleType

import numpy as np
from jaxtyping import Int32, Int64, UInt8


def is_installed() -> bool:
    """Returns whether faiss can be imported."""
    return importlib.util.find_spec("faiss") is not None


def import_faiss(purpose: str) -> ModuleType:
    """Imports faiss, or raises an error that explains how to install it.

    Args:
      purpose: completes the error message "faiss is needed to ...".

    Returns:
      The faiss module.

    Raises:
      ModuleNotFoundError: if faiss is missing.
    """
    try:
        with warnings.catch_warnings():
            # Importing faiss emits deprecation warnings about its SWIG types.
            warnings.simplefilter("ignore", DeprecationWarning)
            import faiss
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"faiss is needed to {purpose}. Install faiss-cpu or hashnet_jax[search] with pip."
        ) from error
    return faiss


def nearest_by_faiss(
    codes: UInt8[np.ndarray, "N bytes"], queries: UInt8[np.ndarray, "Q bytes"], k: int
) -> tuple[Int32[np.ndarray, "Q k"], Int64[np.ndarray, "Q k"]]:
    """Finds the k nearest codes for each query, with ties ordered by row.

    Args:
      codes: packed codes to search, uint8 ``[N, ceil(K/8)]``, N >= 1.
      queries: packed query codes, uint8 ``[Q, ceil(K/8)]``.
      k: number of codes per query, >= 1; N if it is larger.

    Returns:
      ``(distances, rows)``, in order of increasing distance.

    Raises:
      ModuleNotFoundError: if faiss is missing.
    """
    faiss = import_faiss("search many codes")
    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    # faiss does not promise the order of ties, but its heap compares rows if distances are equal. A
    # test checks this.
    index.add(np.ascontiguousarray(codes))
    return index.search(np.ascontiguousarray(queries), min(k, len(codes)))
