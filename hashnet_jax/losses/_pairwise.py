"""Plain implementation of HashNet's pairwise loss, which materializes all pairs at once."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Float32, Shaped

from hashnet_jax.codes import visible_values
from hashnet_jax.losses._balance import Balance, kind_weights, total_count


def pair_weights(
    similar: Shaped[Array | np.ndarray, "B N"],
    *,
    balance: Balance = "batch",
    continuous: Float[Array | np.ndarray, "B N"] | None = None,
    counted: Bool[Array | np.ndarray, "B N"] | None = None,
    axis_name: str | None = None,
) -> Float32[Array, "B N"]:
    """Computes the pair weights w_ij of the weighted maximum likelihood objective.

    With ``balance="batch"``, w is |S|/|S1| for the |S1| similar pairs and |S|/|S0| for the |S0|
    dissimilar pairs, where |S| = |S1| + |S0|, so both kinds have the same total weight. If a batch
    has no pairs of one kind, the other kind gets weight 1 and the sums stay finite.

    Args:
      similar: mask of the similar pairs, bool or 0/1 ``[B, N]``.
      balance: ``"batch"`` (as in the paper), ``"none"`` (w = 1, the HashNet-W ablation), or a
        positive number: the fixed weight of a similar pair relative to a dissimilar one, like
        ``class_num`` in the authors' code.
      continuous: optional similarities c_ij, float ``[B, N]`` in [0, 1], see :func:`jaccard`; it
        scales the weights of *similar* pairs only (the Jaccard index of dissimilar pairs is 0).
      counted: optional mask of the pairs to count, bool ``[B, N]``; the others get weight 0 and are
        excluded from |S|, |S1| and |S0|. Use it to exclude self-pairs.
      axis_name: optional mapped axis over which |S1| and |S0| are summed, if ``similar`` holds
        one device's rows of the global batch.

    Returns:
      The weights, float32 ``[B, N]``, nonnegative.

    Raises:
      ValueError: if ``balance`` is invalid, a shape does not match ``similar``, an
        untraced value is out of range, or there are more than 65,536 rows.

    Examples:
      >>> pair_weights(jnp.array([[True, False, False, False]]))
      Array([[4.       , 1.3333334, 1.3333334, 1.3333334]], dtype=float32)
      >>> pair_weights(jnp.array([[True, False]]), balance=100.0)
      Array([[100.,   1.]], dtype=float32)

    References:
      HashNet paper, section 3.1. Both of the authors' implementations use a fixed weight (100 for
      ImageNet, 5 for NUS-WIDE, 1 for COCO). The paper counts pairs, as does the default here.
    """
    pairs = jnp.shape(similar)
    _check_pairs("similar", similar, pairs, binary=True)
    # A Jaccard index computed by the caller may exceed 1 because of rounding.
    _check_pairs("continuous", continuous, pairs, largest=1.0 + 1e-6)
    _check_pairs("counted", counted, pairs, binary=True)
    similar = jnp.asarray(similar, bool)
    counted = jnp.ones_like(similar) if counted is None else jnp.asarray(counted, bool)
    n_similar, n_dissimilar = (
        total_count(jnp.sum(kind & counted, axis=1, dtype=jnp.int32), axis_name)
        for kind in (similar, ~similar)
    )
    weight_similar, weight_dissimilar = kind_weights(balance, n_similar, n_dissimilar)
    if continuous is not None:
        weight_similar = weight_similar * jnp.asarray(continuous, jnp.float32)
    weights = jnp.where(similar, weight_similar, weight_dissimilar)
    return jnp.where(counted, weights, 0.0).astype(jnp.float32)


def pairwise_loss(
    codes_a: Float[Array | np.ndarray, "B K"],
    codes_b: Float[Array | np.ndarray, "N K"],
    similar: Shaped[Array | np.ndarray, "B N"],
    *,
    alpha: float,
    offset: float = 0.0,
    weights: Float[Array | np.ndarray, "B N"] | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Computes the weighted negative log-likelihood of all pairs, as numerator and denominator.

    The loss of a pair with logit z_ij = alpha (<a_i, b_j> - offset K) is
    ``log(1 + exp(z_ij)) - s_ij z_ij``, where s_ij is 1 for similar pairs and 0 otherwise. It is
    computed as ``softplus(z) - s z``, which is finite for any K and alpha. The batch loss is
    ``numerator / denominator``.

    Args:
      codes_a: float ``[B, K]``, relaxed codes in [-1, 1].
      codes_b: codes to compare with, float ``[N, K]``.
      similar: mask of the similar pairs, bool or 0/1 ``[B, N]``.
      alpha: slope of the logistic link, > 0; the authors' code uses 10/K.
      offset: the cosine of two codes, <a, b>/K, at which a pair is as likely to be similar as
        dissimilar, in (-1, 1). With 0 (as in the paper), dissimilar codes are pushed beyond
        orthogonality, but only a few codes can all have negative cosines with each other.
      weights: optional pair weights, float ``[B, N]``, see :func:`pair_weights`; 1 by default.

    Returns:
      ``(numerator, denominator)``: scalars ``sum(w * l)`` and ``sum(w)``, in at least float32
      (float64 for float64 codes).

    Raises:
      ValueError: if the shapes do not match, or an untraced value is out of range.

    Examples:
      >>> a = jnp.array([[1.0, -1.0], [1.0, 1.0]])
      >>> numerator, denominator = pairwise_loss(a, a, jnp.eye(2), alpha=1.0)
      >>> print(f"{numerator / denominator:.4f}")
      0.4100

    References:
      HashNet paper, equation 4. The authors' code sums over two shuffled streams of images; here
      the two sets of codes are arbitrary. To compare a batch with itself, give pairs (i, i)
      weight 0.
    """
    codes_a, codes_b = jnp.asarray(codes_a), jnp.asarray(codes_b)
    check_codes(codes_a, codes_b)
    check_link(alpha, offset)
    pairs = (codes_a.shape[0], codes_b.shape[0])
    _check_pairs("similar", similar, pairs, binary=True)
    _check_pairs("weights", weights, pairs)
    dtype = jnp.promote_types(jnp.result_type(codes_a, codes_b), jnp.float32)
    inner = jnp.matmul(
        codes_a, codes_b.T, precision=jax.lax.Precision.HIGHEST, preferred_element_type=dtype
    )
    logits = jnp.asarray(alpha, dtype) * shifted(inner, offset, codes_a.shape[1])
    losses = jax.nn.softplus(logits) - jnp.asarray(similar, dtype) * logits
    if weights is None:
        return _sum(losses), jnp.asarray(losses.size, dtype)
    weights = jnp.asarray(weights, dtype)
    return _sum(weights * losses), _sum(weights)


def _sum(pairs: Float[Array, "B N"]) -> Float[Array, ""]:
    # On a CPU, XLA adds up thousands of elements one by one (with an error of 7e-6 for 61 x 61
    # weights) and fuses nested sums into one. Summing rows first, behind a barrier, avoids this.
    return jnp.sum(jax.lax.optimization_barrier(jnp.sum(pairs, axis=1)))


def check_codes(codes_a: Shaped[Array, "..."], codes_b: Shaped[Array, "..."]) -> None:
    """Raises a ValueError unless the codes have shapes ``[B, K]`` and ``[N, K]``."""
    if codes_a.ndim != 2 or codes_b.ndim != 2 or codes_a.shape[1] != codes_b.shape[1]:
        raise ValueError(
            "`codes_a` and `codes_b` must be [B, K] and [N, K] with the same number of bits K, "
            f"but got {codes_a.shape} and {codes_b.shape}."
        )


def shifted(inner: Float[Array, "B N"], offset: float, bits: int) -> Float[Array, "B N"]:
    """Subtracts ``offset * bits``; adds no operation to the compiled program if ``offset`` is 0."""
    return inner - jnp.asarray(offset * bits, inner.dtype) if offset else inner


def check_link(alpha: ArrayLike, offset: float) -> None:
    """Raises unless ``alpha`` is positive and finite (or traced), and ``offset`` is in (-1, 1)."""
    value = visible_values(alpha)
    if value is not None and not 0 < value < float("inf"):
        raise ValueError(f"`alpha` must be positive and finite, got {alpha}.")
    if not -1 < offset < 1:
        raise ValueError(f"`offset` must be in (-1, 1), got {offset}.")


def _check_pairs(
    name: str,
    value: Shaped[Array | np.ndarray, "..."] | None,
    pairs: tuple[int, ...],
    *,
    binary: bool = False,
    largest: float = float("inf"),
) -> None:
    """Checks that ``value`` has the right shape and, if it is not traced, valid entries."""
    if value is None:
        return
    if len(pairs) != 2 or jnp.shape(value) != pairs:
        expected = f"[B, N] = {pairs}" if len(pairs) == 2 else "[B, N]"
        raise ValueError(f"`{name}` must be {expected}, got {jnp.shape(value)}.")
    values = visible_values(value)
    if values is None or values.dtype == bool:
        return
    allowed = (values == 0) | (values == 1) if binary else (values >= 0) & (values <= largest)
    allowed &= np.isfinite(values)
    if not allowed.all():
        row, column = np.unravel_index(np.argmin(allowed), allowed.shape)
        rule = "0 or 1" if binary else "in [0, 1]" if largest < np.inf else "finite and >= 0"
        raise ValueError(
            f"`{name}` must be {rule}, but `{name}`[{row}, {column}] is {values[row, column]}."
        )
