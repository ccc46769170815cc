"""Baselines: shallow hashing of features from the network's initial backbone.

A baseline is fitted to training-image features from the run's initial backbone (pretrained if
the run's backbone is), and evaluated exactly like a run. To add one, write a file with a function
like :class:`Baseline` and register it below.
"""

from experiments.baselines import itq, lsh
from experiments.baselines._evaluate import check_baselines, evaluate_baselines
from experiments.baselines._registry import BASELINES, Baseline, register

register("lsh", lsh.encode)
register("itq", itq.encode)

__all__ = ["BASELINES", "Baseline", "check_baselines", "evaluate_baselines", "register"]
