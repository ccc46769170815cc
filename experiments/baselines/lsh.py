"""LSH: signs of random projections of centred features; requires faiss.

Reference: Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002. The
paper projects features without centring them. We centre them because non-negative features, e.g.
after a ReLU, would otherwise tend to have the same signs.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from hashnet_jax.index import import_faiss


def encode(
    train: Float[np.ndarray, "N D"],
    parts: Sequence[Float[np.ndarray, "M D"]],
    *,
    bits: int,
    seed: int,
) -> list[UInt8[np.ndarray, "M bytes"]]:
    """Encodes features with LSH; see :class:`experiments.baselines.Baseline`."""
    faiss = import_faiss("compute LSH")
    index = faiss.IndexLSH(train.shape[1], bits, True)
    index.rrot.init(seed)
    mean = train.mean(axis=0)
    packed = [index.sa_encode(np.ascontiguousarray(part - mean)) for part in parts]
    # faiss packs bits starting from the least significant bit.
    signs = [np.unpackbits(code, axis=1, count=bits, bitorder="little") for code in packed]
    return [np.packbits(sign, axis=1) for sign in signs]
