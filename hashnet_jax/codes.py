"""Relaxed, binary and packed codes.

A packed code is uint8 ``[..., ceil(K/8)]``. The bit order is NumPy's default: entry 0 of a code is
the most significant bit of byte 0, and +1 is stored as a set bit. The last byte is zero-padded, so
that padding never adds to a distance.

Reference: Cao, Long, Wang, Yu, "HashNet: Deep Learning to Hash by Continuation", ICCV 2017,
section 3.2.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int8, Num, Shaped, UInt8

# Describes packed codes to those who read them with other programs.
BIT_ORDER = (
    "big: entry 0 of a code is the most significant bit of byte 0; +1 is stored as 1; the last "
    "byte is padded with zeros"
)


def bytes_per_code(bits: int) -> int:
    """Returns the size of a packed code in bytes, ceil(K/8).

    Args:
      bits: K >= 1, the number of bits per code.

    Returns:
      The number of bytes per code.

    Raises:
      TypeError: if ``bits`` is not an int.
      ValueError: if ``bits`` < 1.

    Examples:
      >>> bytes_per_code(48), bytes_per_code(12)
      (6, 2)
    """
    check_positive_int("bits", bits)
    return -(-bits // 8)


def relax(logits: Float[Array | np.ndarray, "*shape"], beta: ArrayLike) -> Float[Array, "*shape"]:
    """Computes relaxed codes h = tanh(beta z).

    Args:
      logits: float array of any shape (usually ``[B, K]``), the output z of the hash layer.
      beta: scalar > 0; may be traced. At ``inf``, the relaxed codes are sgn(z), with sgn(0) = +1
        and zero gradient.

    Returns:
      An array with the shape and dtype of ``logits``, and values in [-1, 1].

    Raises:
      TypeError: if the logits are not floats.
      ValueError: if ``beta`` is not positive (unless it is traced).

    Examples:
      >>> z = jnp.array([-1.0, 0.0, 0.5])
      >>> [f"{h:.3f}" for h in relax(z, 2.0)]
      ['-0.964', '0.000', '0.762']
      >>> relax(z, jnp.inf)
      Array([-1.,  1.,  1.], dtype=float32)
    """
    values = visible_values(beta)
    if values is not None and not (values > 0).all():
        raise ValueError(f"`beta` must be > 0, got {beta}.")
    logits = jnp.asarray(logits)
    if not jnp.issubdtype(logits.dtype, jnp.floating):
        raise TypeError(
            f"`logits` must have a float dtype, got {logits.dtype}. Use logits.astype(float)."
        )
    at_limit = jnp.isinf(beta)
    # inf * 0 would be nan in both value and gradient, even in the branch that is not taken.
    finite = jnp.where(at_limit, 1.0, beta).astype(logits.dtype)
    return jnp.where(at_limit, binarize(logits).astype(logits.dtype), jnp.tanh(finite * logits))


def binarize(logits: Num[Array | np.ndarray, "*shape"]) -> Int8[Array, "*shape"]:
    """Computes binary codes h = sgn(z), with sgn(0) = +1 so that every code is exactly binary.

    Args:
      logits: float array of any shape (usually ``[B, K]``).

    Returns:
      int8 of the same shape, each entry -1 or +1. A NaN becomes -1.

    Examples:
      >>> binarize(jnp.array([-0.3, 0.0, 2.0]))
      Array([-1,  1,  1], dtype=int8)

    References:
      The authors' code uses ``sign``, which maps z = 0 to 0, an invalid code entry.
    """
    return jnp.where(jnp.asarray(logits) >= 0, 1, -1).astype(jnp.int8)


def quantization_gap(codes: Num[Array | np.ndarray, "..."]) -> Float[Array, ""]:
    """Computes the mean distance between relaxed and binary codes, mean(|1 - |h||).

    Args:
      codes: relaxed codes in [-1, 1], of any shape with at least one entry.

    Returns:
      A float32 scalar in [0, 1]; 0 for binary codes.

    Raises:
      ValueError: if ``codes`` is empty.

    Examples:
      >>> quantization_gap(jnp.array([[1.0, -0.5]]))
      Array(0.25, dtype=float32)
    """
    codes = jnp.asarray(codes, jnp.float32)
    if codes.size == 0:
        raise ValueError(f"`codes` must have at least one entry, got shape {codes.shape}.")
    return jnp.mean(jnp.abs(1.0 - jnp.abs(codes)))


def pack_bits(codes: Shaped[Array | np.ndarray, "*batch K"]) -> UInt8[Array, "*batch bytes"]:
    """Packs binary codes, eight bits to a byte.

    Args:
      codes: array ``[..., K]`` of -1 and +1 (any entry > 0 counts as +1), with K >= 1.

    Returns:
      uint8 ``[..., ceil(K/8)]``.

    Raises:
      ValueError: if ``codes`` is a scalar or has no bits.

    Examples:
      >>> pack_bits(jnp.array([[1, -1, -1, -1, -1, -1, -1, 1, 1]], jnp.int8))
      Array([[129, 128]], dtype=uint8)
    """
    codes = jnp.asarray(codes)
    if codes.ndim == 0 or codes.shape[-1] == 0:
        raise ValueError(
            f"`codes` must be [..., K] with K >= 1 bits, got shape {codes.shape}. Pass the codes "
            "that binarize returns."
        )
    if codes.size == 0:  # jnp.packbits would divide by zero
        return jnp.zeros((*codes.shape[:-1], bytes_per_code(codes.shape[-1])), jnp.uint8)
    return jnp.packbits(codes > 0, axis=-1)


def unpack_bits(
    packed: UInt8[Array | np.ndarray, "*batch bytes"], bits: int
) -> Int8[Array, "*batch {bits}"]:
    """Unpacks codes packed by :func:`pack_bits`.

    Args:
      packed: packed codes, uint8 ``[..., ceil(K/8)]``.
      bits: K >= 1, the number of bits per code.

    Returns:
      int8 ``[..., K]`` of -1 and +1.

    Raises:
      TypeError: if ``packed`` is not uint8, or ``bits`` is not an int.
      ValueError: if the size of the last axis is not ceil(K/8), or ``bits`` < 1.

    Examples:
      >>> unpack_bits(jnp.array([[129, 128]], jnp.uint8), 9)
      Array([[ 1, -1, -1, -1, -1, -1, -1,  1,  1]], dtype=int8)
    """
    packed = jnp.asarray(packed)
    check_positive_int("bits", bits)
    check_packed("packed", packed, bits)
    if packed.size == 0:  # jnp.unpackbits would divide by zero
        return jnp.zeros((*packed.shape[:-1], bits), jnp.int8)
    ones = jnp.unpackbits(packed, axis=-1, count=bits)
    return (2 * ones.astype(jnp.int8) - 1).astype(jnp.int8)


def check_packed(
    name: str,
    packed: Shaped[Array | np.ndarray, "..."],
    bits: int | None = None,
    *,
    ndim: int | None = None,
    zero_padding: bool = False,
) -> None:
    """Checks that ``packed`` holds packed codes.

    Args:
      name: name of the parameter, used in error messages.
      packed: the array to check. Its dtype and shape are checked under ``jax.jit`` too.
      bits: K, the number of bits per code; ``None`` skips the shape check.
      ndim: the required number of axes, checked only if ``bits`` is given; ``None`` accepts any.
      zero_padding: whether to also check that the padding bits are zero, if ``bits`` is given.
        This reads the array, which must therefore not be traced.

    Raises:
      TypeError: if ``packed`` is not uint8, or ``bits`` is not an int.
      ValueError: if ``bits`` < 1, the size of the last axis is not ceil(K/8), the number of axes is
        not ``ndim``, or a padding bit is set.

    Examples:
      >>> check_packed("queries", np.zeros((5, 2), np.uint8), 12, zero_padding=True)
      >>> check_packed("queries", np.zeros((5, 2), np.uint8), 24)
      Traceback (most recent call last):
      ...
      ValueError: `queries` must be [..., ceil(K/8)] = [..., 3] for K = 24 bits, got shape (5, 2).
      Pass the `bits` that the codes were packed with.
    """
    if packed.dtype != jnp.uint8:
        raise TypeError(
            f"`{name}` must be uint8, got {packed.dtype}. Pack the codes with pack_bits(codes)."
        )
    if bits is None:
        return
    fits = packed.shape[-1:] == (bytes_per_code(bits),)
    if not fits or ndim not in (None, packed.ndim):
        leading = "..." if ndim is None else ", ".join(["codes"] * (ndim - 1))
        raise ValueError(
            f"`{name}` must be [{leading}, ceil(K/8)] = [{leading}, {bytes_per_code(bits)}] for "
            f"K = {bits} bits, got shape {packed.shape}. Pass the `bits` that the codes were "
            "packed with."
        )
    padding = 0xFF >> ((bits - 1) % 8 + 1)
    if zero_padding and bool((packed[..., -1] & padding).any()):
        raise ValueError(
            f"the padding bits of `{name}` beyond K = {bits} must be zero, but some are set. Pass "
            "the `bits` that the codes were packed with."
        )


def check_positive_int(name: str, value: object) -> None:
    """Raises unless ``value`` is an int >= 1.

    Examples:
      >>> check_positive_int("bits", 12.0)
      Traceback (most recent call last):
      ...
      TypeError: `bits` must be an int, got float 12.0.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"`{name}` must be an int, got {type(value).__name__} {value!r}.")
    if value < 1:
        raise ValueError(f"`{name}` must be >= 1, got {value}.")


def visible_values(array: ArrayLike) -> np.ndarray | None:
    """Returns the values of an array, or ``None`` if it is traced or spans several hosts.

    Functions that check values call this function, and skip the check if it returns ``None``.

    Examples:
      >>> visible_values(2.0)
      array(2.)
      >>> jax.eval_shape(lambda x: print(visible_values(x)), 2.0)
      None
    """
    if isinstance(array, Tracer):
        return None
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return None
    return np.asarray(array)
