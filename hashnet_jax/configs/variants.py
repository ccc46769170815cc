"""The paper's method and its ablations."""

from typing import Any

# What none of the variants has.
_PAPER = {"offset": 0.0, "standardize": False}

# The fields of TrainSpec that each variant sets. Configs that use a fixed weight (a number for
# `balance`, as in the authors' code) or Algorithm 1 (`beta_schedule="stages"`) do not match any of
# the paper's ablations, and are called "custom".
VARIANTS: dict[str, dict[str, Any]] = {
    "hashnet": {
        **_PAPER,
        "balance": "batch",
        "continuous_similarity": False,
        "beta_schedule": "sqrt",
    },
    # Weights similar pairs by label overlap. Identical to hashnet on single-label data.
    "hashnet+c": {
        **_PAPER,
        "balance": "batch",
        "continuous_similarity": True,
        "beta_schedule": "sqrt",
    },
    # Unweighted: w = 1 for similar and dissimilar pairs.
    "hashnet-w": {
        **_PAPER,
        "balance": "none",
        "continuous_similarity": False,
        "beta_schedule": "sqrt",
    },
    # No continuation: tanh(z) throughout training, and sgn only at inference.
    "hashnet-sgn": {
        **_PAPER,
        "balance": "batch",
        "continuous_similarity": False,
        "beta_schedule": "constant",
    },
}
