"""Shallow hashing baselines.

A baseline is fitted to features of the training images, computed by the backbone that a run starts
from (pretrained or random), and evaluated in exactly the same way as a run. To add a baseline,
write a module with a function that implements :class:`Baseline`, and register the function below.
"""

from experiments.baselines import itq, lsh
from experiments.baselines._evaluate import check_baselines, evaluate_baselines
from experiments.baselines._registry import BASELINES, Baseline, register

register("lsh", lsh.encode)
register("itq", itq.encode)

__all__ = ["BASELINES", "Baseline", "check_baselines", "evaluate_baselines", "register"]
