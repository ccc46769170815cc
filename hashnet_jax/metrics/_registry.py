"""Registry of scalar metrics computed for every run."""

from collections.abc import Callable

from hashnet_jax.metrics._counts import DistanceCounts

Metric = Callable[[DistanceCounts], float]

METRICS: dict[str, Metric] = {}


def register(name: str, metric: Metric) -> None:
    """Registers a metric to include in every run's results.

    Args:
      name: key of the metric in the results.
      metric: a function that maps the counts, NumPy arrays ``[Q, K+1]``, to a float.

    Raises:
      ValueError: if the name is taken.

    Examples:
      >>> def relevant_share(counts):
      ...     return float(counts.relevant.sum() / counts.total.sum())
      >>> register("recall_within_radius_2", relevant_share)
      Traceback (most recent call last):
      ...
      ValueError: a metric named 'recall_within_radius_2' is already registered. Choose another
      name.
    """
    if name in METRICS:
        raise ValueError(f"a metric named {name!r} is already registered. Choose another name.")
    METRICS[name] = metric


def evaluate_registered(counts: DistanceCounts) -> dict[str, float]:
    """Evaluates every registered metric.

    Args:
      counts: :class:`hashnet_jax.metrics.DistanceCounts` of NumPy arrays ``[Q, K+1]``.

    Returns:
      ``{name: value}``, in the order of registration.

    Examples:
      >>> import numpy as np
      >>> counts = DistanceCounts(np.array([[1, 0], [0, 1]]), np.array([[2, 0], [0, 2]]))
      >>> evaluate_registered(counts)["precision_within_radius_2"]
      0.5
    """
    return {name: float(metric(counts)) for name, metric in METRICS.items()}
