"""Hamming distances between packed codes, exact nearest-neighbor search, and rescoring by logits.

Packed codes are uint8 ``[..., ceil(K/8)]``, see :mod:`hashnet_jax.codes`.
"""

from hashnet_jax.hamming._rescore import rescore
from hashnet_jax.hamming._top_k import distances, top_k

__all__ = ["distances", "rescore", "top_k"]
