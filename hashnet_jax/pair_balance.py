"""Class balance: exact numbers of similar and dissimilar pairs, and the weight of each kind.

A batch of 16,384 has 2.7e8 pairs, and ones added one by one in float32 stop at 2**24 = 1.7e7. How
a device orders a sum is its own affair, so pairs are counted in integers: row by row, then over
rows in two halves of 16 bits.
"""

import jax
import jax.numpy as jnp


def total_count(of_rows, axis_name=None):
    """The sum of counts as a float, rounded once: exact to the last bit that a float32 has.

    Args:
      of_rows: int32 or uint32 ``[B]``, counts >= 0; at most 65,536 of them, over all devices.
      axis_name: optional mapped axis to sum over.

    Returns:
      float32 scalar.

    Raises:
      ValueError: if there are more than 65,536 rows, whose sum might overflow.

    Examples:
      >>> int(total_count(jnp.full(16_384, 16_383))), 16_384 * 16_383
      (268419072, 268419072)
    """
    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    if devices * len(of_rows) > 2**16:
        raise ValueError(
            f"pairs are counted for at most 65,536 rows over all devices, got {len(of_rows)} on "
            f"{devices}: use a smaller batch."
        )
    of_rows = jnp.asarray(of_rows).astype(jnp.uint32)
    halves = jnp.sum(jnp.stack([of_rows >> 16, of_rows & 0xFFFF]), axis=1, dtype=jnp.uint32)
    if axis_name is not None:
        halves = jax.lax.psum(halves, axis_name)
    high, low = halves[0] + (halves[1] >> 16), halves[1] & 0xFFFF
    return high.astype(jnp.float32) * 2.0**16 + low.astype(jnp.float32)


def kind_weights(balance, n_similar, n_dissimilar):
    """The weight of a similar and of a dissimilar pair.

    Args:
      balance: ``"batch"``: |S|/|S1| and |S|/|S0|, so that both kinds weigh the same in total;
        ``"none"``: 1 and 1; a positive number: that number and 1.
      n_similar, n_dissimilar: |S1| and |S0|, scalars >= 0. Where one is 0, the other kind gets
        weight 1.

    Returns:
      Two scalars.

    Raises:
      ValueError: for another ``balance``.

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
    if isinstance(balance, int | float) and 0 < balance < float("inf"):
        return float(balance), 1.0
    raise ValueError(
        f"balance must be 'batch', 'none' or a positive number, got {balance!r}: "
        "'batch' is the paper's class balance."
    )
