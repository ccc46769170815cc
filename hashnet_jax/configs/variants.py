"""The paper's method and ablations."""

from typing import Any

# The fields of TrainSpec that each variant sets. A fixed weight (a number for `balance`, as in the
# authors' code) and Algorithm 1 (`beta_schedule="stages"`) are not among the paper's ablations;
# they count as "custom".
VARIANTS: dict[str, dict[str, Any]] = {
    "hashnet": {
        "balance": "batch",
        "continuous_similarity": False,
        "beta_schedule": "sqrt",
    },
    # Weights similar pairs by label overlap; same as hashnet on single-label data.
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
