"""Asymmetric search: reranks the nearest codes using the logits of the query.

Only the database is binary here. The signs of a query's logits select candidates, and the logits
themselves rank them.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int8, Int32, Integer, UInt8

from hashnet_jax.codes import check_packed, unpack_bits, visible_values

# Working set for rescoring, in 4-byte elements (16 MiB).
_WORKING_SET = 2**22


def rescore(
    logits: Float[Array | np.ndarray, "Q K"],
    packed_database: UInt8[Array | np.ndarray, "N bytes"],
    candidates: Integer[Array | np.ndarray, "Q n"],
) -> tuple[Float32[Array, "Q n"], Int32[Array, "Q n"]]:
    """Ranks candidates by the score ``<z, b>`` of the query's logits z and a code b.

    A Hamming distance counts all bits alike, whereas the logits show how certain each bit of the
    query is. The candidates are usually the nearest codes by Hamming distance, from :func:`top_k`;
    the first k columns of the result are then the k candidates with the highest scores. The
    function is pure. Its working set is at most 2**22 elements, unless a single query needs more
    (n * K elements for n candidates).

    The logits of a query are rounded to multiples of a power of two, at most ``max(|z|) K /
    2**28``, so that scores are sums of integers: equal codes tie exactly, and every device and
    batch size gives the same ranking.

    Args:
      logits: the queries' logits, float ``[Q, K]``, all finite, see :func:`hashnet_jax.logits`.
      packed_database: packed database codes, uint8 ``[N, ceil(K/8)]``.
      candidates: indices of codes, int ``[Q, n]``, without duplicates in a row; -1 for no
        candidate, e.g. if an approximate index finds fewer than n codes.

    Returns:
      ``(score, index)``, float32 and int32 ``[Q, n]``, in order of decreasing score, with ties
      ordered by index. Missing candidates come last in each row, with a score of -inf and an
      index of -1.

    Raises:
      TypeError: if ``packed_database`` is not uint8, or ``candidates`` are not integers.
      ValueError: if the shapes do not match, a logit is not finite, or a candidate is not in
        -1..N-1. The values of traced arrays are not checked.

    Examples:
      >>> from hashnet_jax.codes import binarize, pack_bits
      >>> from hashnet_jax.hamming import top_k
      >>> logits = jnp.array([[2.0, 0.5, 1.0]])
      >>> database = pack_bits(jnp.array([[-1, 1, 1], [1, -1, 1], [1, 1, 1], [-1, -1, -1]]))
      >>> distance, index = top_k(pack_bits(binarize(logits)), database, 3)
      >>> distance, index
      (Array([[0, 1, 1]], dtype=int32), Array([[2, 0, 1]], dtype=int32))
      >>> score, index = rescore(logits, database, index)
      >>> score, index
      (Array([[ 3.5,  2.5, -0.5]], dtype=float32), Array([[2, 1, 0]], dtype=int32))
    """
    _check_rescoring(logits, packed_database, candidates)
    return _rescore(
        jnp.asarray(logits, jnp.float32),
        jnp.asarray(packed_database),
        jnp.asarray(candidates, jnp.int32),
    )


@jax.jit
def _rescore(
    logits: Float32[Array, "Q K"],
    database: UInt8[Array, "N bytes"],
    candidates: Int32[Array, "Q n"],
) -> tuple[Float32[Array, "Q n"], Int32[Array, "Q n"]]:
    bits = logits.shape[1]
    unit = _unit(logits)
    multiples = jnp.round(logits / unit).astype(jnp.int32)

    def ranked(
        query: tuple[Int32[Array, " K"], Float32[Array, " 1"], Int32[Array, " n"]],
    ) -> tuple[Float32[Array, " n"], Int32[Array, " n"]]:
        weights, unit, index = query
        codes: Int8[Array, "n K"] = unpack_bits(database[index], bits)
        score = jnp.sum(codes * weights[None, :], axis=1, dtype=jnp.int32)
        worst = jnp.where(index < 0, jnp.iinfo(jnp.int32).max, -score)
        worst, index = jax.lax.sort((worst, index), num_keys=2)
        return jnp.where(index < 0, -jnp.inf, -worst * unit), index

    batch_size = max(1, _WORKING_SET // max(1, candidates.shape[1] * bits))
    return jax.lax.map(ranked, (multiples, unit, candidates), batch_size=batch_size)


def _unit(logits: Float32[Array, "Q K"]) -> Float32[Array, "Q 1"]:
    """Returns a power of two per query, such that sums of K logits in this unit fit in int32."""
    largest = jnp.max(jnp.abs(logits), axis=1, keepdims=True)
    # |z| < 2**exponent. The lower limit avoids a division by 0; its sums are 0 or negligible.
    _, exponent = jnp.frexp(jnp.maximum(largest, 1e-20))
    return jnp.ldexp(jnp.ones_like(largest), exponent - 30 + (logits.shape[1] - 1).bit_length())


def _check_rescoring(
    logits: Float[Array | np.ndarray, "Q K"],
    packed_database: UInt8[Array | np.ndarray, "N bytes"],
    candidates: Integer[Array | np.ndarray, "Q n"],
) -> None:
    if logits.ndim != 2 or candidates.ndim != 2 or len(logits) != len(candidates):
        raise ValueError(
            "`logits` and `candidates` must be [Q, K] and [Q, n] with a row for each query, but "
            f"got {logits.shape} and {candidates.shape}."
        )
    if not jnp.issubdtype(candidates.dtype, jnp.integer):
        raise TypeError(f"`candidates` must be integers, got {candidates.dtype}.")
    check_packed("packed_database", packed_database, logits.shape[1], ndim=2)
    values, index = visible_values(logits), visible_values(candidates)
    if values is not None and not np.isfinite(values).all():
        raise ValueError(
            "`logits` must be finite, but they contain NaN or infinity. Check the network with "
            "hashnet_jax.model.check_finite(params)."
        )
    n = len(packed_database)
    if index is not None and not ((index >= -1) & (index < n)).all():
        raise ValueError(
            f"`candidates` must be indices of the N = {n} codes, or -1 for none, but the smallest "
            f"is {index.min()} and the largest is {index.max()}."
        )
