"""Statistics of binary codes, with alarms that indicate a collapsed network.

A collapsed network maps most images to the same code. A ranking by such codes is one large tie, and
a tool that breaks ties in database order may still report a good MAP if the database happens to be
sorted by class.
"""

import dataclasses

import numpy as np
from jaxtyping import Array, Float64, UInt8

from hashnet_jax.codes import check_packed, check_positive_int

# A bit is constant if at least this fraction of the codes agree on it.
CONSTANT_BIT_AGREEMENT = 0.999


@dataclasses.dataclass(frozen=True, eq=False)
class CodeStatistics:
    """Statistics of N codes of K bits.

    Attributes:
      codes: N, the number of codes.
      distinct: the number of distinct codes, 1..min(N, 2**K).
      ones: float64 ``[K]``, the fraction of codes with +1 in each bit; 0.5 is balanced.
      constant_bits: the number of bits on which at least 99.9% of the codes agree.
      alarms: one line for each sign of collapse; empty for healthy codes.
    """

    codes: int
    distinct: int
    ones: Float64[np.ndarray, " K"]
    constant_bits: int
    alarms: tuple[str, ...]

    @property
    def collapsed(self) -> bool:
        """Whether the codes show any sign of collapse."""
        return bool(self.alarms)

    def __str__(self) -> str:
        balance = np.abs(self.ones - 0.5).mean()
        lines = [
            f"{self.distinct} of {self.codes} codes distinct, {self.constant_bits} of "
            f"{len(self.ones)} bits constant, mean imbalance {balance:.3f} (at most 0.5)",
            *(f"COLLAPSED: {alarm}" for alarm in self.alarms),
        ]
        return "\n".join(lines)


def code_statistics(
    packed: UInt8[Array | np.ndarray, "N bytes"], *, bits: int, classes: int
) -> CodeStatistics:
    """Counts distinct codes and constant bits, and checks for collapse.

    One alarm is raised if there are fewer distinct codes than min(classes, 2**K, N), because some
    classes are then indistinguishable. Another alarm is raised if more than half of the bits are
    constant; a bit is constant if at least 99.9% of the codes agree on it.

    Args:
      packed: the database codes, uint8 ``[N, ceil(K/8)]`` with N >= 1; see
        :func:`hashnet_jax.codes.pack_bits`.
      bits: K, the number of bits per code.
      classes: the number of classes among the N images, >= 1.

    Returns:
      The statistics and alarms, :class:`CodeStatistics`.

    Raises:
      TypeError: if ``packed`` is not uint8.
      ValueError: if the shape of ``packed`` is wrong, a padding bit is set, or ``classes`` < 1.

    Examples:
      >>> print(code_statistics(np.zeros((6, 1), np.uint8), bits=8, classes=3))
      1 of 6 codes distinct, 8 of 8 bits constant, mean imbalance 0.500 (at most 0.5)
      COLLAPSED: fewer distinct codes (1) than classes (3)
      COLLAPSED: 8 of 8 bits are constant
    """
    rows = np.ascontiguousarray(packed)
    check_positive_int("bits", bits)
    check_packed("packed", rows, bits, ndim=2, zero_padding=True)
    if len(rows) == 0 or classes < 1:
        raise ValueError(
            f"there must be at least one code and one class, but got {len(rows)} codes and "
            f"`classes`={classes}."
        )
    # Rows viewed as opaque values are sorted with memcmp, much faster than np.unique(axis=0).
    distinct = len(np.unique(rows.view(f"V{rows.shape[1]}")))
    ones = np.unpackbits(rows, axis=1, count=bits).mean(axis=0)
    constant_bits = int(np.sum(np.maximum(ones, 1 - ones) >= CONSTANT_BIT_AGREEMENT))
    alarms = []
    if distinct < min(classes, 2**bits, len(rows)):
        alarms.append(f"fewer distinct codes ({distinct}) than classes ({classes})")
    if 2 * constant_bits > bits:
        alarms.append(f"{constant_bits} of {bits} bits are constant")
    return CodeStatistics(len(rows), distinct, ones, constant_bits, tuple(alarms))
