"""HashNet's batch loss, computed by a plain or a blocked implementation."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from hashnet_jax.losses._balance import Balance, kind_weights
from hashnet_jax.losses._blocks import BLOCKED_FROM, count_pairs, pairwise_loss_blocks
from hashnet_jax.losses._label_values import labels_on_device
from hashnet_jax.losses._labels import jaccard, similarity
from hashnet_jax.losses._pairwise import check_link, pair_weights, pairwise_loss
from hashnet_jax.losses._registry import BatchLoss

# Maps this device's codes and the global batch's codes to the two sums of the loss.
_Sums = Callable[
    [Float[Array, "B K"], Float[Array, "N K"]], tuple[Float[Array, ""], Float[Array, ""]]
]


def pairwise_batch_loss(
    labels: Shaped[Array | np.ndarray, "B *C"],
    *,
    alpha: float,
    offset: float = 0.0,
    balance: Balance = "batch",
    continuous: bool = False,
    axis_name: str | None = None,
) -> BatchLoss:
    """Creates HashNet's loss over all pairs in the global batch, excluding self-pairs.

    Large batches are processed in blocks of pairs, small ones all at once. Batch sizes are static,
    so only one of these implementations is compiled.

    Args:
      labels: class ids, integer ``[B]``, or multi-hot labels ``[B, C]``. Inside a mapped function,
        only the labels of this device.
      alpha: slope of the logistic link, > 0.
      offset: see :func:`pairwise_loss`.
      balance: see :func:`pair_weights`.
      continuous: whether to multiply the weights of similar pairs by their Jaccard index, as in
        HashNet+C; see :func:`jaccard`.
      axis_name: the mapped axis over which the batch is split, if any.

    Returns:
      The loss as a function of the codes, :class:`BatchLoss`.

    Raises:
      ValueError: if ``alpha``, ``offset``, ``balance`` or ``labels`` is invalid (see
        :func:`check_label_values`), or there are more than 65,536 rows.
      TypeError: if class ids are not integers.

    Examples:
      >>> codes = jnp.array([[1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
      >>> loss = pairwise_batch_loss(jnp.array([0, 0, 1]), alpha=1.0)
      >>> print(f"{loss.share(codes):.4f}, {loss.similar_share:.4f}")
      0.5516, 0.3333
    """
    check_link(alpha, offset)
    labels = labels_on_device("labels", labels)
    batch = _Batch(
        labels=labels,
        all_labels=_gather(labels, axis_name),
        first_row=0 if axis_name is None else jax.lax.axis_index(axis_name) * len(labels),
        axis_name=axis_name,
    )
    n_pairs = len(batch.labels) * len(batch.all_labels)
    form = _blocked_form if n_pairs >= BLOCKED_FROM else _plain_form
    sums, similar_share = form(batch, alpha, offset, balance=balance, continuous=continuous)

    def share(codes: Float[Array, "B K"]) -> Float[Array, ""]:
        numerator, denominator = sums(codes, _gather(codes, axis_name))
        # The weights depend only on the labels, so no gradient passes through the denominator.
        total = jax.lax.stop_gradient(denominator)
        if axis_name is not None:
            total = jax.lax.psum(total, axis_name)
        return numerator / jnp.where(total > 0, total, 1.0)

    return BatchLoss(share, similar_share)


class _Batch(NamedTuple):
    """One device's rows of the global batch; ``first_row`` is the global index of row 0."""

    labels: Shaped[Array, "B *C"]
    all_labels: Shaped[Array, "N *C"]
    first_row: int | Int[Array, ""]
    axis_name: str | None


def _blocked_form(
    batch: _Batch, alpha: float, offset: float, *, balance: Balance, continuous: bool
) -> tuple[_Sums, Float[Array, ""]]:
    n_similar, n_dissimilar = count_pairs(
        batch.labels, batch.all_labels, first_row=batch.first_row, axis_name=batch.axis_name
    )
    sums = functools.partial(
        pairwise_loss_blocks,
        labels_a=batch.labels,
        labels_b=batch.all_labels,
        alpha=alpha,
        offset=offset,
        weights=kind_weights(balance, n_similar, n_dissimilar),
        continuous=continuous,
        first_row=batch.first_row,
    )
    return sums, n_similar / jnp.maximum(n_similar + n_dissimilar, 1)


def _plain_form(
    batch: _Batch, alpha: float, offset: float, *, balance: Balance, continuous: bool
) -> tuple[_Sums, Float[Array, ""]]:
    similar = similarity(batch.labels, batch.all_labels)
    row = batch.first_row + jnp.arange(len(batch.labels))
    # Self-pairs carry no information about similarity, yet with 100 classes they would make up
    # about half of the similar pairs.
    counted = row[:, None] != jnp.arange(len(batch.all_labels))[None, :]
    weights = pair_weights(
        similar,
        balance=balance,
        continuous=jaccard(batch.labels, batch.all_labels) if continuous else None,
        counted=counted,
        axis_name=batch.axis_name,
    )
    sums = functools.partial(
        pairwise_loss, similar=similar, alpha=alpha, offset=offset, weights=weights
    )
    return sums, jnp.sum(similar & counted) / jnp.maximum(jnp.sum(counted), 1)


def _gather(rows: Shaped[Array, "B *axes"], axis_name: str | None) -> Shaped[Array, "N *axes"]:
    return rows if axis_name is None else jax.lax.all_gather(rows, axis_name, tiled=True)
