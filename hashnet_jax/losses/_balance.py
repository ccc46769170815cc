"""Class balance: exact counts of similar and dissimilar pairs, and their weights.

A batch of 16,384 images has 2.7e8 pairs, but a float32 counter incremented by 1 stops at 2**24 =
1.7e7. The sum of larger floats depends on the order of summation, which differs between devices.
Pairs are therefore counted in integers: first per row, then across rows, with the counts split into
two 16-bit halves.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float32, Integer, Num

# "batch", "none", or the weight of a similar pair relative to a dissimilar one.
Balance = str | int | float


def total_count(
    row_counts: Integer[Array | np.ndarray, " B"], axis_name: str | None = None
) -> Float32[Array, ""]:
    """Sums counts exactly and rounds the sum to float32 once.

    Args:
      row_counts: int32 or uint32 ``[B]``, counts >= 0; at most 65,536 rows across all devices.
      axis_name: optional mapped axis to sum over.

    Returns:
      float32 scalar, the exact sum rounded to nearest.

    Raises:
      ValueError: if there are more than 65,536 rows, since the sum might overflow.

    Examples:
      >>> int(total_count(jnp.full(16_384, 16_383))), 16_384 * 16_383
      (268419072, 268419072)
    """
    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    if devices * len(row_counts) > 2**16:
        raise ValueError(
            "pairs can be counted for at most 65,536 rows across all devices, but got "
            f"{len(row_counts)} rows on each of {devices} devices. Use a smaller batch."
        )
    counts = jnp.asarray(row_counts).astype(jnp.uint32)
    halves = jnp.sum(jnp.stack([counts >> 16, counts & 0xFFFF]), axis=1, dtype=jnp.uint32)
    if axis_name is not None:
        halves = jax.lax.psum(halves, axis_name)
    high, low = halves[0] + (halves[1] >> 16), halves[1] & 0xFFFF
    return high.astype(jnp.float32) * 2.0**16 + low.astype(jnp.float32)


def kind_weights(
    balance: Balance, n_similar: Num[ArrayLike, ""], n_dissimilar: Num[ArrayLike, ""]
) -> tuple[Num[ArrayLike, ""], Num[ArrayLike, ""]]:
    """Returns the weights of similar and dissimilar pairs.

    Args:
      balance: ``"batch"`` for |S|/|S1| and |S|/|S0|, which give both kinds the same total weight;
        ``"none"`` for 1 and 1; a positive number w for w and 1.
      n_similar, n_dissimilar: the numbers of similar and dissimilar pairs, |S1| and |S0|, scalars
        >= 0; |S| is their sum. If there are no pairs of one kind, the other kind gets weight 1.

    Returns:
      ``(weight_similar, weight_dissimilar)``, two scalars.

    Raises:
      ValueError: if ``balance`` is invalid.

    Examples:
      >>> kind_weights(100.0, 1, 3)
      (100.0, 1.0)
      >>> [round(float(weight), 4) for weight in kind_weights("batch", 1.0, 3.0)]
      [4.0, 1.3333]
    """
    if balance == "batch":
        n_pairs = n_similar + n_dissimilar
        return n_pairs / jnp.maximum(n_similar, 1.0), n_pairs / jnp.maximum(n_dissimilar, 1.0)
    if balance == "none":
        return 1.0, 1.0
    is_number = isinstance(balance, int | float) and not isinstance(balance, bool)
    if is_number and 0 < float(balance) < float("inf"):
        return float(balance), 1.0
    raise ValueError(
        f"`balance` must be 'batch', 'none' or a positive number, got {balance!r}. "
        "Use 'batch' for the paper's class balance."
    )
