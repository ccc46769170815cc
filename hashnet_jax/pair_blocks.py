"""The pairwise loss of large batches: the pairs in blocks, in memory O(B block) instead of O(B N).

The plain form (:func:`hashnet_jax.losses.pairwise_loss`) holds every pair several times: 2.7e8
pairs at B = N = 16,384, a GiB for each array of them. Here a scan goes over blocks of columns, and
similarity, weights, logits and losses exist for one block at a time. When the loss is
differentiated, one pass gives value and gradients together: a block's logits are at hand, its
gradient is two more matrix products, and nothing of it is kept or computed again.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from hashnet_jax import losses
from hashnet_jax.pair_balance import total_count

# Pairs of a block: 2**20 float32 are 4 MiB. From 2**18 to 2**22 the time on a CPU is the same
# within a fifth; smaller blocks pay for the scan, larger ones leave the caches.
_BLOCK_PAIRS = 2**20
# From here on blocks are faster on a CPU, forward and backward: by 1.2 at 2048 x 2048 and
# 4096 x 4096 pairs, by 1.05 to 2.5 in several runs at 8192 x 8192. At 1024 x 1024 they are slower.
LARGE = 2**22


def count_pairs(labels_a, labels_b, *, first_row=None, axis_name=None, block=None):
    """How many pairs are similar and how many are not: |S1| and |S0|, for the class balance.

    Args:
      labels_a, labels_b, first_row, block: as :func:`pairwise_loss_blocks`.
      axis_name: optional mapped axis to sum over, when ``labels_a`` are one device's rows.

    Returns:
      ``(n_similar, n_dissimilar)``, float32 scalars, counted exactly and rounded once.

    Raises:
      ValueError, TypeError: as :func:`pairwise_loss_blocks`, and for more than 65,536 rows over
        all devices.

    Examples:
      >>> labels = jnp.array([0, 0, 1])
      >>> [int(n) for n in count_pairs(labels, labels, first_row=0)]
      [2, 4]
    """
    columns = _columns(labels_a, labels_b, first_row, block)

    def count(of_rows, i):
        similar, counted = columns.pairs(i)
        kinds = jnp.stack([similar & counted, ~similar & counted])
        return of_rows + jnp.sum(kinds, axis=2, dtype=jnp.int32), None

    none = jnp.zeros((2, len(columns.labels_a)), jnp.int32)
    of_rows, _ = jax.lax.scan(count, none, jnp.arange(columns.n_blocks))
    return total_count(of_rows[0], axis_name), total_count(of_rows[1], axis_name)


def pairwise_loss_blocks(
    codes_a,
    codes_b,
    labels_a,
    labels_b,
    *,
    alpha,
    weights=(1.0, 1.0),
    continuous=False,
    first_row=None,
    block=None,
):
    """The sums of :func:`hashnet_jax.losses.pairwise_loss` from labels, block by block.

    Value and gradients are those of ``similarity``, ``pair_weights`` and ``pairwise_loss`` one
    after the other, to rounding. To be differentiated once, in reverse, by the codes.

    Args:
      codes_a: float ``[B, K]``, relaxed codes in [-1, 1].
      codes_b: float ``[N, K]``.
      labels_a: class ids, integer ``[B]``, or multi-hot labels ``[B, C]``.
      labels_b: the same form, ``[N]`` or ``[N, C]``.
      alpha: slope of the logistic link, > 0.
      weights: of a similar and of a dissimilar pair, two scalars > 0: for the class balance
        ``kind_weights("batch", *count_pairs(...))``, with :mod:`hashnet_jax.pair_balance`.
      continuous: multiply the weights of similar pairs by :func:`hashnet_jax.losses.jaccard`.
      first_row: where the two sets are one: the row of ``codes_b`` that is the first of
        ``codes_a``, so that the pairs of an image with itself are left out; may be traced.
        ``None`` counts all pairs.
      block: columns at a time, >= 1; by default as many as make 2**20 pairs.

    Returns:
      ``(numerator, denominator)``: scalars ``sum(w * l)`` and ``sum(w)``, in float32 at least
      (float64 for float64 codes). No gradient passes through the denominator.

    Raises:
      ValueError: if shapes do not fit together, or for block < 1.
      TypeError: if class ids are not integers.

    Examples:
      >>> codes = jnp.array([[1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
      >>> labels = jnp.array([0, 0, 1])
      >>> numerator, denominator = pairwise_loss_blocks(
      ...     codes, codes, labels, labels, alpha=1.0, weights=(3.0, 1.5), first_row=0
      ... )
      >>> print(f"{numerator / denominator:.4f}")
      0.5516
    """
    codes_a, codes_b = jnp.asarray(codes_a), jnp.asarray(codes_b)
    losses.check_codes(codes_a, codes_b)
    columns = _columns(labels_a, labels_b, first_row, block)
    for name, codes, n in (("a", codes_a, len(columns.labels_a)), ("b", codes_b, columns.n)):
        if len(codes) != n:
            raise ValueError(
                f"labels_{name} must have one row for each row of codes_{name}, {len(codes)}, "
                f"got {n}."
            )
    dtype = jnp.promote_types(jnp.result_type(codes_a, codes_b), jnp.float32)
    weights = jnp.stack([jnp.asarray(weight, dtype) for weight in weights])
    blocks = _in_blocks(codes_b, columns.labels_b.shape[1])
    return _sums(codes_a, blocks, columns, weights, float(alpha), bool(continuous))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Columns:
    """Labels ``[B, ...]`` and ``[blocks, block, ...]``, and what follows for block i of columns."""

    labels_a: jax.Array
    labels_b: jax.Array
    first_row: jax.Array
    n: int = dataclasses.field(metadata={"static": True})

    @property
    def n_blocks(self):
        return self.labels_b.shape[0]

    def pairs(self, i):
        """Which pairs are similar, and which count: no filling, no image with itself."""
        block = self.labels_b.shape[1]
        column = i * block + jnp.arange(block)
        row = self.first_row + jnp.arange(len(self.labels_a))
        counted = (column < self.n)[None, :] & (row[:, None] != column[None, :])
        return losses.similarity(self.labels_a, self.labels_b[i]), counted

    def weights(self, i, kinds, continuous):
        """(similar, weights) of block i, from the weights ``[2]`` of the two kinds."""
        similar, counted = self.pairs(i)
        of_similar = kinds[0]
        if continuous:
            of_similar = of_similar * losses.jaccard(self.labels_a, self.labels_b[i])
        return similar, jnp.where(counted, jnp.where(similar, of_similar, kinds[1]), 0.0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _sums(codes_a, codes_b, columns, kinds, alpha, continuous):
    return _pass(codes_a, codes_b, columns, kinds, alpha, continuous, gradients=False)[0]


def _pass(codes_a, codes_b, columns, kinds, alpha, continuous, *, gradients):
    """One scan over the blocks ``[blocks, block, K]`` of codes_b: the sums, and d numerator."""
    dtype = jnp.promote_types(jnp.result_type(codes_a, codes_b), jnp.float32)
    product = functools.partial(
        jnp.matmul, precision=jax.lax.Precision.HIGHEST, preferred_element_type=dtype
    )

    def step(carry, block):
        i, codes = block
        rows, gradient_a = carry
        similar, weights = columns.weights(i, kinds, continuous)
        logits = jnp.asarray(alpha, dtype) * product(codes_a, codes.T)
        weighted = weights * (jax.nn.softplus(logits) - similar.astype(dtype) * logits)
        # Sums of rows first: a single float would lose the last blocks to rounding.
        rows = rows + jnp.stack([jnp.sum(weighted, axis=1), jnp.sum(weights, axis=1)])
        if not gradients:
            return (rows, gradient_a), None
        slope = alpha * weights * (jax.nn.sigmoid(logits) - similar.astype(dtype))
        gradient_a = gradient_a + product(slope, codes.astype(dtype))
        return (rows, gradient_a), product(slope.T, codes_a.astype(dtype))

    start = (
        jnp.zeros((2, len(codes_a)), dtype),
        jnp.zeros(codes_a.shape if gradients else (), dtype),
    )
    (rows, gradient_a), gradient_b = jax.lax.scan(
        step, start, (jnp.arange(columns.n_blocks), codes_b)
    )
    numerator, denominator = jnp.sum(rows, axis=1)
    return (numerator, denominator), (gradient_a, gradient_b)


def _sums_forward(codes_a, codes_b, columns, kinds, alpha, continuous):
    sums, (gradient_a, gradient_b) = _pass(
        codes_a, codes_b, columns, kinds, alpha, continuous, gradients=True
    )
    return sums, (gradient_a.astype(codes_a.dtype), gradient_b.astype(codes_b.dtype))


def _sums_backward(alpha, continuous, gradients, cotangents):
    of_numerator, _ = cotangents
    of_codes = (of_numerator * gradient for gradient in gradients)
    of_a, of_b = (d.astype(g.dtype) for d, g in zip(of_codes, gradients, strict=True))
    return of_a, of_b, None, None


_sums.defvjp(_sums_forward, _sums_backward)


def _columns(labels_a, labels_b, first_row, block):
    labels_a, labels_b = losses.check_labels(labels_a, labels_b)
    if block is None:
        block = max(1, min(len(labels_b), _BLOCK_PAIRS // max(1, len(labels_a))))
    if block < 1:
        raise ValueError(f"block must be >= 1 column, got {block}.")
    # A row before the first column meets no column of its own.
    first_row = -len(labels_a) if first_row is None else first_row
    return _Columns(labels_a, _in_blocks(labels_b, block), jnp.asarray(first_row), len(labels_b))


def _in_blocks(rows, block):
    """``[N, ...]`` as ``[blocks, block, ...]``, filled up with zeros."""
    filling = -len(rows) % block
    filled = jnp.pad(rows, [(0, filling)] + [(0, 0)] * (rows.ndim - 1))
    return filled.reshape(-1, block, *rows.shape[1:])
