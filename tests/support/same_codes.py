"""Compares codes from two compilations of a network, which may round a logit near 0 either way."""

from typing import Any

import jax.numpy as jnp
import numpy as np

import hashnet_jax
from hashnet_jax.model import preprocess

# Two compilations of a network differ by less than this fraction of a typical logit.
ROUNDING = 1e-3


def assert_codes_of(params: Any, images: Any, packed: Any) -> None:
    """Asserts that ``packed`` holds the codes of ``images``, ignoring bits with logits near 0."""
    preprocessed = preprocess(jnp.asarray(images), params.spec)
    logits = np.asarray(hashnet_jax.logits(params, preprocessed))
    expected = np.asarray(hashnet_jax.binarize(jnp.asarray(logits)))
    codes = np.asarray(hashnet_jax.unpack_bits(packed, params.spec.bits))
    uncertain = np.abs(logits) < ROUNDING * np.sqrt(np.mean(logits**2))
    assert uncertain.mean() < 0.01, "too many logits are near zero to compare the codes"
    wrong = (codes != expected) & ~uncertain
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} bits differ: {np.argwhere(wrong)[:5]}"
