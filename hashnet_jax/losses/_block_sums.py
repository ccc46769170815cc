"""Computes both sums of the pairwise loss, and gradients of the first, in a scan over blocks."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from hashnet_jax.losses._columns import Columns, pairs_of_block
from hashnet_jax.losses._labels import jaccard
from hashnet_jax.losses._pairwise import shifted


class Options(NamedTuple):
    """Static arguments of the loss; ``n`` is the number of ``codes_b``, excluding padding."""

    n: int
    alpha: float
    offset: float
    continuous: bool


def _weights_of_block(
    columns: Columns, kinds: Float[Array, "2"], options: Options, i: Int[Array, ""]
) -> tuple[Bool[Array, "B block"], Float[Array, "B block"]]:
    """Returns ``(similar, weights)`` for block i; for ``kinds``, see :func:`block_sums`."""
    similar, counted = pairs_of_block(columns, options.n, i)
    weight_similar = kinds[0]
    if options.continuous:
        weight_similar = weight_similar * jaccard(columns.labels_a, columns.labels_b[i])
    return similar, jnp.where(counted, jnp.where(similar, weight_similar, kinds[1]), 0.0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def block_sums(
    codes_a: Float[Array, "B K"],
    codes_b: Float[Array, "blocks block K"],
    columns: Columns,
    kinds: Float[Array, "2"],
    options: Options,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Computes ``sum(w * l)`` and ``sum(w)`` over all pairs.

    ``kinds`` are the weights of similar and dissimilar pairs.
    """
    return _scan_blocks(codes_a, codes_b, columns, kinds, options, gradients=False)[0]


def _scan_blocks(
    codes_a: Float[Array, "B K"],
    codes_b: Float[Array, "blocks block K"],
    columns: Columns,
    kinds: Float[Array, "2"],
    options: Options,
    *,
    gradients: bool,
) -> tuple[
    tuple[Float[Array, ""], Float[Array, ""]],
    PyTree[Float[Array, "..."]],
]:
    """Returns the sums of :func:`block_sums` and, if requested, the gradients of the first."""
    dtype = sum_dtype(codes_a, codes_b)
    alpha = options.alpha

    def step(
        carry: tuple[Float[Array, "2 B"], Float[Array, "..."]],
        block: tuple[Int[Array, ""], Float[Array, "block K"]],
    ) -> PyTree[Float[Array, "..."]]:
        i, codes = block
        rows, gradient_a = carry
        similar, weights = _weights_of_block(columns, kinds, options, i)
        inner = _product(codes_a, codes.T, dtype)
        logits = jnp.asarray(alpha, dtype) * shifted(inner, options.offset, codes.shape[1])
        weighted = weights * (jax.nn.softplus(logits) - similar.astype(dtype) * logits)
        # Accumulate per row, since a single float would lose the last blocks to rounding.
        rows = rows + jnp.stack([jnp.sum(weighted, axis=1), jnp.sum(weights, axis=1)])
        if not gradients:
            return (rows, gradient_a), None
        slope = alpha * weights * (jax.nn.sigmoid(logits) - similar.astype(dtype))
        gradient_a = gradient_a + _product(slope, codes.astype(dtype), dtype)
        return (rows, gradient_a), _product(slope.T, codes_a.astype(dtype), dtype)

    start = (
        jnp.zeros((2, len(codes_a)), dtype),
        jnp.zeros(codes_a.shape if gradients else (), dtype),
    )
    (rows, gradient_a), gradient_b = jax.lax.scan(step, start, (jnp.arange(len(codes_b)), codes_b))
    numerator, denominator = jnp.sum(rows, axis=1)
    return (numerator, denominator), (gradient_a, gradient_b)


def _forward(
    codes_a: Float[Array, "B K"],
    codes_b: Float[Array, "blocks block K"],
    columns: Columns,
    kinds: Float[Array, "2"],
    options: Options,
) -> tuple[
    tuple[Float[Array, ""], Float[Array, ""]],
    tuple[Float[Array, "B K"], Float[Array, "blocks block K"]],
]:
    sums, (gradient_a, gradient_b) = _scan_blocks(
        codes_a, codes_b, columns, kinds, options, gradients=True
    )
    return sums, (gradient_a.astype(codes_a.dtype), gradient_b.astype(codes_b.dtype))


def _backward(
    options: Options,
    gradients: tuple[Float[Array, "B K"], Float[Array, "blocks block K"]],
    cotangents: tuple[Float[Array, ""], Float[Array, ""]],
) -> tuple[Float[Array, "B K"], Float[Array, "blocks block K"], None, None]:
    del options
    cotangent, _ = cotangents
    products = (cotangent * gradient for gradient in gradients)
    gradient_a, gradient_b = (p.astype(g.dtype) for p, g in zip(products, gradients, strict=True))
    return gradient_a, gradient_b, None, None


block_sums.defvjp(_forward, _backward)


def sum_dtype(codes_a: Float[Array, "..."], codes_b: Float[Array, "..."]) -> jnp.dtype:
    """Returns the dtype of the sums: the codes' dtype, but at least float32."""
    return jnp.promote_types(jnp.result_type(codes_a, codes_b), jnp.float32)


def _product(
    a: Float[Array, "m n"], b: Float[Array, "n p"], dtype: jnp.dtype
) -> Float[Array, "m p"]:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST, preferred_element_type=dtype)
