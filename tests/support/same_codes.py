"""Codes of one network from two compilations, which may round a logit near zero to either sign."""

from typing import Any

import jax.numpy as jnp
import numpy as np

import hashnet_jax
from hashnet_jax.model import preprocess

# Two compilations of a network differ by less than this share of a typical logit.
ROUNDING = 1e-3


def assert_codes_of(params: Any, images: Any, packed: Any) -> None:
    """Fails unless ``packed`` holds the codes of ``images``, up to bits with a logit near zero."""
    preprocessed = preprocess(jnp.asarray(images), params.spec)
    logits = np.asarray(hashnet_jax.logits(params, preprocessed))
    expected = np.asarray(hashnet_jax.binarize(jnp.asarray(logits)))
    codes = np.asarray(hashnet_jax.unpack_bits(packed, params.spec.bits))
    uncertain = np.abs(logits) < ROUNDING * np.sqrt(np.mean(logits**2))
    assert uncertain.mean() < 0.01, "logits are near zero throughout: nothing would be compared"
    wrong = (codes != expected) & ~uncertain
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} bits differ: {np.argwhere(wrong)[:5]}"
