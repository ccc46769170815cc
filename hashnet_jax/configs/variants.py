"""The paper's method and its ablations."""

from typing import Any

# The fields of TrainSpec that each variant sets. Configs that use a fixed weight (a number for
# `balance`, as in the authors' code) or Algorithm 1 (`beta_schedule="stages"`) do not match any of
# the paper's ablations, and are called "custom".
VARIANTS: dict[str, dict[str, Any]] = {
    "hashnet": {
        "balance": "batch",
        "continuous_similarity": False,
        "beta_schedule": "sqrt",
    },
    # Weights similar pairs by label overlap. Identical to hashnet on single-label data.
    "hashnet+c": {
        "balance": "batch",
        "continuous_similarity": True,
        "beta_schedule": "sqrt",
    },
    # Unweighted: w = 1 for similar and dissimilar pairs.
    "hashnet-w": {
        "balance": "none",
        "continuous_similarity": False,
        "beta_schedule": "sqrt",
    },
    # No continuation: tanh(z) throughout training, and sgn only at inference.
    "hashnet-sgn": {
        "balance": "batch",
        "continuous_similarity": False,
        "beta_schedule": "constant",
    },
}
