"""The pairwise likelihood of HashNet: similarity, pair weights and the loss as two sums.

Vocabulary: codes ``[B, K]`` are compared with codes ``[N, K]``; ``similar[i, j]`` says whether
pair (i, j) shares a label; ``alpha`` is the slope of the logistic link. The loss of a batch is
``sum(w * l) / sum(w)`` over *all* its pairs, so every function here returns or takes the two sums
and never their ratio: across devices the sums add, the ratios do not.

Reference: Cao, Long, Wang, Yu, "HashNet: Deep Learning to Hash by Continuation", ICCV 2017.
"""

import jax
import jax.numpy as jnp

from hashnet_jax.pair_balance import kind_weights, total_count


def similarity(labels_a, labels_b):
    """Which pairs share at least one label.

    Args:
      labels_a: class ids, integer ``[B]``, or multi-hot labels ``[B, C]`` (0 or 1, any dtype).
      labels_b: the same form, ``[N]`` or ``[N, C]``.

    Returns:
      bool ``[B, N]``. An image without any label is similar to none, itself included.

    Raises:
      ValueError: if the two differ in form or in number of classes.
      TypeError: if class ids are not integers.

    Examples:
      >>> similarity(jnp.array([0, 1]), jnp.array([1, 1, 0])).astype(int)
      Array([[0, 0, 1],
             [1, 1, 0]], dtype=int32)
    """
    labels_a, labels_b = check_labels(labels_a, labels_b)
    if labels_a.ndim == 1:
        return labels_a[:, None] == labels_b[None, :]
    return _shared(labels_a, labels_b) > 0


def jaccard(labels_a, labels_b):
    """The continuous similarity c_ij of HashNet+C: labels in common over labels in either.

    Args:
      labels_a: class ids, integer ``[B]``, or multi-hot labels ``[B, C]``.
      labels_b: the same form, ``[N]`` or ``[N, C]``.

    Returns:
      float32 ``[B, N]`` in [0, 1]; 0 for a pair in which neither image has a label. For class ids
      it is 1 on similar pairs and 0 elsewhere.

    Raises:
      ValueError, TypeError: as :func:`similarity`.

    Examples:
      >>> jaccard(jnp.array([[1, 1, 0]]), jnp.array([[1, 0, 0], [0, 0, 1]]))
      Array([[0.5, 0. ]], dtype=float32)
    """
    labels_a, labels_b = check_labels(labels_a, labels_b)
    if labels_a.ndim == 1:
        return similarity(labels_a, labels_b).astype(jnp.float32)
    shared = _shared(labels_a, labels_b)
    counts_a = jnp.sum(labels_a != 0, axis=1, dtype=jnp.float32)
    counts_b = jnp.sum(labels_b != 0, axis=1, dtype=jnp.float32)
    either = counts_a[:, None] + counts_b[None, :] - shared
    return shared / jnp.maximum(either, 1.0)


def pair_weights(similar, *, balance="batch", continuous=None, counted=None, axis_name=None):
    """The weights w_ij of the weighted maximum likelihood.

    With ``balance="batch"``, w is |S|/|S1| on similar and |S|/|S0| on dissimilar pairs, so that
    both kinds weigh the same in total. Where a batch has no similar (or no dissimilar) pair, the
    other kind gets weight 1 and the sums stay finite.

    Args:
      similar: bool ``[B, N]``.
      balance: ``"batch"`` (the paper), ``"none"`` (w = 1, the ablation HashNet-W), or a positive
        number: the fixed weight of a similar pair against a dissimilar one, as ``class_num`` in
        the authors' code.
      continuous: optional float ``[B, N]`` in (0, 1], see :func:`jaccard`: c_ij, multiplied into
        the weights of *similar* pairs only (Jaccard would erase the dissimilar ones).
      counted: optional bool ``[B, N]``: pairs that take part; the others get weight 0 and are not
        counted in |S|, |S1|, |S0|. Used to leave out the pairs of an image with itself.
      axis_name: optional mapped axis over which |S1| and |S0| are summed, when ``similar`` holds
        one device's rows of the global batch.

    Returns:
      float32 ``[B, N]``, not negative.

    Raises:
      ValueError: for another ``balance``, a shape not that of ``similar``, or over 65,536 rows.

    Examples:
      >>> pair_weights(jnp.array([[True, False, False, False]]))
      Array([[4.       , 1.3333334, 1.3333334, 1.3333334]], dtype=float32)
      >>> pair_weights(jnp.array([[True, False]]), balance=100.0)
      Array([[100.,   1.]], dtype=float32)

    References:
      Paper, section 3.1. The authors' two codes use the fixed form (ImageNet 100, NUS-WIDE 5,
      COCO 1); the paper counts. Counting is the default here.
    """
    similar = jnp.asarray(similar, bool)
    for name, value in (("continuous", continuous), ("counted", counted)):
        _check_pairs(name, value, similar.shape)
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


def pairwise_loss(codes_a, codes_b, similar, *, alpha, weights=None):
    """The weighted negative log-likelihood of all pairs, as numerator and denominator.

    With the logit of a pair z_ij = alpha <a_i, b_j>, the pair's loss is
    ``log(1 + exp(z_ij)) - s_ij z_ij``, computed as ``softplus(z) - s z``, which is finite for any
    K and alpha. The loss of the batch is ``numerator / denominator``.

    Args:
      codes_a: float ``[B, K]``, relaxed codes in [-1, 1].
      codes_b: float ``[N, K]``.
      similar: bool or 0/1 ``[B, N]``.
      alpha: slope of the logistic link, > 0; the authors' code takes 10/K.
      weights: optional float ``[B, N]``, see :func:`pair_weights`; 1 when left out.

    Returns:
      ``(numerator, denominator)``: scalars ``sum(w * l)`` and ``sum(w)``, in float32 at least
      (float64 for float64 codes), whatever the dtype of the codes.

    Raises:
      ValueError: if shapes do not fit together.

    Examples:
      >>> a = jnp.array([[1.0, -1.0], [1.0, 1.0]])
      >>> numerator, denominator = pairwise_loss(a, a, jnp.eye(2), alpha=1.0)
      >>> print(f"{numerator / denominator:.4f}")
      0.4100

    References:
      Paper, equation 4. Unlike the authors' code, which sums two shuffled streams against each
      other, any two sets of codes may be given; for one batch against itself leave out the
      pairs (i, i) by the weights.
    """
    codes_a, codes_b = jnp.asarray(codes_a), jnp.asarray(codes_b)
    check_codes(codes_a, codes_b)
    pairs = (codes_a.shape[0], codes_b.shape[0])
    _check_pairs("similar", similar, pairs)
    _check_pairs("weights", weights, pairs)
    dtype = jnp.promote_types(jnp.result_type(codes_a, codes_b), jnp.float32)
    inner = jnp.matmul(
        codes_a, codes_b.T, precision=jax.lax.Precision.HIGHEST, preferred_element_type=dtype
    )
    logits = jnp.asarray(alpha, dtype) * inner
    losses = jax.nn.softplus(logits) - jnp.asarray(similar, dtype) * logits
    if weights is None:
        return _sum(losses), jnp.asarray(losses.size, dtype)
    weights = jnp.asarray(weights, dtype)
    return _sum(weights * losses), _sum(weights)


def _sum(pairs):
    # XLA adds thousands of numbers one by one on a CPU, off by 7e-6 for 61 x 61 weights, and makes
    # one sum of two; so rows first, and kept apart.
    return jnp.sum(jax.lax.optimization_barrier(jnp.sum(pairs, axis=1)))


def _shared(labels_a, labels_b):
    # 0/1 products summed in float32 are exact up to 2**24 labels, on any device.
    a, b = (labels_a != 0).astype(jnp.float32), (labels_b != 0).astype(jnp.float32)
    return a @ b.T


def check_codes(codes_a, codes_b):
    """Raises unless these are codes ``[B, K]`` and ``[N, K]``."""
    if codes_a.ndim != 2 or codes_b.ndim != 2 or codes_a.shape[1] != codes_b.shape[1]:
        raise ValueError(
            "codes_a and codes_b must be [B, K] and [N, K] with the same number of bits K, "
            f"got {codes_a.shape} and {codes_b.shape}."
        )


def check_labels(labels_a, labels_b):
    """Both as arrays; raises unless they are labels of the same form."""
    labels_a, labels_b = jnp.asarray(labels_a), jnp.asarray(labels_b)
    shapes = f"got {labels_a.shape} and {labels_b.shape}"
    if labels_a.ndim != labels_b.ndim or labels_a.ndim not in (1, 2):
        raise ValueError(
            f"labels must both be class ids [B] and [N], or both multi-hot [B, C] and [N, C], "
            f"{shapes}."
        )
    if labels_a.ndim == 2 and labels_a.shape[1] != labels_b.shape[1]:
        raise ValueError(f"multi-hot labels must have the same number of classes C, {shapes}.")
    for labels in (labels_a, labels_b):
        if labels.ndim == 1 and not jnp.issubdtype(labels.dtype, jnp.integer):
            raise TypeError(
                f"class ids must be integers, got {labels.dtype}: use labels.astype(int), or "
                "multi-hot labels of shape [B, C]."
            )
    return labels_a, labels_b


def _check_pairs(name, value, pairs):
    if value is not None and jnp.shape(value) != pairs:
        raise ValueError(f"{name} must be [B, N] = {pairs}, got {jnp.shape(value)}.")
