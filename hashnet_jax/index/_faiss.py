"""The import of faiss, which is optional."""

import warnings
from types import ModuleType


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
