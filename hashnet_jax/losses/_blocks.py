"""The pairwise loss for large batches, block by block, with O(B block) memory instead of O(B N).

The plain implementation (:func:`hashnet_jax.losses.pairwise_loss`) materializes several ``[B, N]``
arrays, each 1 GiB at B = N = 16,384. Here a scan runs over blocks of columns, and only one block of
similarities, weights, logits and losses exists at a time. When the loss is differentiated, one pass
computes both the loss and its gradients. Given the logits of a block, the gradients take two more
matrix products, and nothing needs to be stored or recomputed.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float32, Int, Int32, Num, Shaped

from hashnet_jax.codes import visible_values
from hashnet_jax.losses._balance import total_count
from hashnet_jax.losses._block_sums import Options, block_sums, sum_dtype
from hashnet_jax.losses._columns import in_blocks, label_columns, pairs_of_block
from hashnet_jax.losses._pairwise import check_codes, check_link

# From this number of pairs on, blocks are faster on a CPU, forward and backward: 1.2x as fast at
# 2048 x 2048 and 4096 x 4096 pairs, and 1.05x to 2.5x (depending on the run) at 8192 x 8192. At
# 1024 x 1024, they are slower.
BLOCKED_FROM = 2**22


def count_pairs(
    labels_a: Shaped[Array | np.ndarray, "B *C"],
    labels_b: Shaped[Array | np.ndarray, "N *C"],
    *,
    first_row: int | Int[Array, ""] | None = None,
    axis_name: str | None = None,
    block: int | None = None,
) -> tuple[Float32[Array, ""], Float32[Array, ""]]:
    """Counts similar and dissimilar pairs, |S1| and |S0|, for the class balance.

    Args:
      labels_a: class ids, integer ``[B]``, or multi-hot labels ``[B, C]``.
      labels_b: labels in the same format, ``[N]`` or ``[N, C]``.
      first_row: see :func:`pairwise_loss_blocks`.
      axis_name: optional mapped axis to sum over, if ``labels_a`` holds only one device's rows.
      block: see :func:`pairwise_loss_blocks`.

    Returns:
      ``(n_similar, n_dissimilar)``, float32 scalars, counted exactly and rounded once.

    Raises:
      ValueError: if the shapes do not match, labels are invalid (see :func:`check_label_values`),
        ``block`` < 1, or there are more than 65,536 rows across all devices.
      TypeError: if class ids are not integers.

    Examples:
      >>> labels = jnp.array([0, 0, 1])
      >>> [int(n) for n in count_pairs(labels, labels, first_row=0)]
      [2, 4]
    """
    columns, n = label_columns(labels_a, labels_b, first_row, block)

    def count(
        row_counts: Int32[Array, "2 B"], i: Int[Array, ""]
    ) -> tuple[Int32[Array, "2 B"], None]:
        similar, counted = pairs_of_block(columns, n, i)
        kinds = jnp.stack([similar & counted, ~similar & counted])
        return row_counts + jnp.sum(kinds, axis=2, dtype=jnp.int32), None

    zeros = jnp.zeros((2, len(columns.labels_a)), jnp.int32)
    row_counts, _ = jax.lax.scan(count, zeros, jnp.arange(len(columns.labels_b)))
    return total_count(row_counts[0], axis_name), total_count(row_counts[1], axis_name)


def pairwise_loss_blocks(
    codes_a: Float[Array | np.ndarray, "B K"],
    codes_b: Float[Array | np.ndarray, "N K"],
    labels_a: Shaped[Array | np.ndarray, "B *C"],
    labels_b: Shaped[Array | np.ndarray, "N *C"],
    *,
    alpha: float,
    offset: float = 0.0,
    weights: tuple[Num[ArrayLike, ""], Num[ArrayLike, ""]] = (1.0, 1.0),
    continuous: bool = False,
    first_row: int | Int[Array, ""] | None = None,
    block: int | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Computes :func:`hashnet_jax.losses.pairwise_loss` from labels, block by block.

    Up to rounding, the value and gradients match ``similarity``, ``pair_weights`` and
    ``pairwise_loss`` applied in sequence. Supports first-order reverse-mode differentiation with
    respect to the codes.

    Args:
      codes_a: float ``[B, K]``, relaxed codes in [-1, 1].
      codes_b: codes to compare with, float ``[N, K]``.
      labels_a: class ids, integer ``[B]``, or multi-hot labels ``[B, C]``.
      labels_b: labels in the same format, ``[N]`` or ``[N, C]``.
      alpha: slope of the logistic link, > 0.
      offset: see :func:`hashnet_jax.losses.pairwise_loss`.
      weights: the weights of similar and dissimilar pairs, two scalars > 0; to balance the two,
        use ``kind_weights("batch", *count_pairs(...))``, see
        :func:`hashnet_jax.losses.kind_weights`.
      continuous: whether to multiply the weights of similar pairs by their Jaccard index, see
        :func:`hashnet_jax.losses.jaccard`.
      first_row: if ``codes_a`` is a slice of ``codes_b``, the row of ``codes_b`` where the slice
        starts; self-pairs are then excluded. May be traced. ``None`` includes all pairs.
      block: number of columns per block, >= 1; by default, a block has at most 2**20 pairs.

    Returns:
      ``(numerator, denominator)``: scalars ``sum(w * l)`` and ``sum(w)``, in at least float32
      (float64 for float64 codes). No gradient passes through the denominator.

    Raises:
      ValueError: if the shapes do not match, labels are invalid (see :func:`check_label_values`),
        an untraced ``alpha`` or weight is not positive, ``offset`` is out of range, or
        ``block`` < 1.
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
    check_codes(codes_a, codes_b)
    check_link(alpha, offset)
    columns, n = label_columns(labels_a, labels_b, first_row, block)
    for name, codes, n_labels in (("a", codes_a, len(columns.labels_a)), ("b", codes_b, n)):
        if len(codes) != n_labels:
            raise ValueError(
                f"`labels_{name}` must have as many rows as `codes_{name}` ({len(codes)}), got "
                f"{n_labels}."
            )
    dtype = sum_dtype(codes_a, codes_b)
    _check_weights(weights)
    kinds = jnp.stack([jnp.asarray(weight, dtype) for weight in weights])
    blocks = in_blocks(codes_b, columns.labels_b.shape[1])
    options = Options(n, float(alpha), float(offset), bool(continuous))
    return block_sums(codes_a, blocks, columns, kinds, options)


def _check_weights(weights: tuple[Num[ArrayLike, ""], Num[ArrayLike, ""]]) -> None:
    for weight in weights:
        value = visible_values(weight)
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"`weights` must be positive and finite, got {weights}.")
