"""HashNet's pairwise loss, and the loss registry.

Codes ``[B, K]`` are compared with codes ``[N, K]``; ``similar[i, j]`` is true if pair (i, j) shares
a label; ``alpha`` is the slope of the logistic link. The loss of a batch is ``sum(w * l) / sum(w)``
over *all* its pairs, so :func:`pairwise_loss` returns the two sums instead of their ratio: unlike
ratios, sums can be added across devices. The train step calls :func:`pairwise_batch_loss`, which
computes similarity, weights and loss for one batch.

To add a loss, write a function with the arguments of :func:`pairwise_batch_loss` in a separate
file, and :func:`register` it.

Reference: Cao, Long, Wang, Yu, "HashNet: Deep Learning to Hash by Continuation", ICCV 2017.
"""

from hashnet_jax.losses._balance import Balance, kind_weights, total_count
from hashnet_jax.losses._blocks import count_pairs, pairwise_loss_blocks
from hashnet_jax.losses._label_values import check_label_values, labels_on_device
from hashnet_jax.losses._labels import jaccard, similarity
from hashnet_jax.losses._pairwise import pair_weights, pairwise_loss
from hashnet_jax.losses._registry import LOSSES, BatchLoss, LossFactory, register
from hashnet_jax.losses.hashnet import pairwise_batch_loss

register("hashnet", pairwise_batch_loss)

__all__ = [
    "LOSSES",
    "Balance",
    "BatchLoss",
    "LossFactory",
    "check_label_values",
    "count_pairs",
    "jaccard",
    "kind_weights",
    "labels_on_device",
    "pair_weights",
    "pairwise_batch_loss",
    "pairwise_loss",
    "pairwise_loss_blocks",
    "register",
    "similarity",
    "total_count",
]
