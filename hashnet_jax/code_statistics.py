"""Statistics of a set of binary codes, and an alarm for a network that has collapsed.

A collapsed network gives most images the same code. Its ranking is one large tie, and a tool that
sorts it may still print a good MAP, if the database happens to be sorted by class.
"""

import dataclasses

import numpy as np

from hashnet_jax.counting import check_packed

# A bit is constant if all codes but one in a thousand agree in it.
CONSTANT = 0.999


@dataclasses.dataclass(frozen=True, eq=False)
class CodeStatistics:
    """Statistics of N codes of K bits.

    Attributes:
      codes: N.
      distinct: the number of distinct codes, 1..min(N, 2**K).
      ones: float64 ``[K]``, the share of codes with a one (+1) in each bit; 0.5 is balanced.
      constant_bits: the number of bits in which at least 99.9 % of the codes agree.
      alarms: one line for each sign of collapse; empty for sound codes.
    """

    codes: int
    distinct: int
    ones: np.ndarray
    constant_bits: int
    alarms: tuple[str, ...]

    @property
    def collapsed(self):
        """Whether any alarm rings."""
        return bool(self.alarms)

    def __str__(self):
        balance = np.abs(self.ones - 0.5).mean()
        lines = [
            f"{self.distinct} distinct codes of {self.codes}, {self.constant_bits} of "
            f"{len(self.ones)} bits constant, mean imbalance {balance:.3f} of 0.5",
            *(f"COLLAPSED: {alarm}" for alarm in self.alarms),
        ]
        return "\n".join(lines)


def code_statistics(packed, *, bits, classes):
    """Distinct codes and bit balance, with an alarm for collapse.

    The alarm rings if there are fewer distinct codes than classes (or than 2**K or N, where that
    is less), so that some classes cannot be told apart, or if more than half of the bits are
    constant, i.e. at least 99.9 % of the codes agree in them.

    Args:
      packed: uint8 ``[N, ceil(K/8)]``, N >= 1, the codes of a database, see
        :func:`hashnet_jax.hamming.pack_bits`.
      bits: K, the number of bits of a code.
      classes: the number of classes among these N images, >= 1.

    Returns:
      :class:`CodeStatistics`.

    Raises:
      TypeError: if ``packed`` is not uint8.
      ValueError: for shapes or ``classes`` out of range.

    Examples:
      >>> print(code_statistics(np.zeros((6, 1), np.uint8), bits=8, classes=3))
      1 distinct codes of 6, 8 of 8 bits constant, mean imbalance 0.500 of 0.5
      COLLAPSED: 1 distinct codes for 3 classes
      COLLAPSED: 8 of 8 bits constant
    """
    packed = np.ascontiguousarray(packed)
    check_packed("packed", packed, bits)
    if len(packed) == 0 or classes < 1:
        raise ValueError(
            f"there must be at least one code and one class, got {len(packed)} codes and "
            f"classes={classes}."
        )
    # Rows as opaque values sort by memcmp, many times faster than np.unique(axis=0).
    distinct = len(np.unique(packed.view(f"V{packed.shape[1]}")))
    ones = np.unpackbits(packed, axis=1, count=bits).mean(axis=0)
    constant_bits = int(np.sum(np.maximum(ones, 1 - ones) >= CONSTANT))
    alarms = []
    if distinct < min(classes, 2**bits, len(packed)):
        alarms.append(f"{distinct} distinct codes for {classes} classes")
    if 2 * constant_bits > bits:
        alarms.append(f"{constant_bits} of {bits} bits constant")
    return CodeStatistics(len(packed), distinct, ones, constant_bits, tuple(alarms))
