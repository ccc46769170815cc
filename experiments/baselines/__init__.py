"""Hashing methods to compare with HashNet, on features of the same backbone.

- A *baseline* is fitted to features of the training images without their labels: LSH, ITQ, the
  sign of PCA, the sign of the features themselves.
- A *rival* trains a linear hash layer on these features with its own loss: DHN, DPSH, CSQ,
  OrthoHash, GreedyHash.

The features come from the backbone that a run starts from (pretrained or random), and the codes are
evaluated exactly like the codes of a run. To add a method, write a module with a function that
implements :class:`Baseline`, or with the two functions of a :class:`Rival`, and register it below.
"""

from experiments.baselines import (
    csq,
    dhn,
    dpsh,
    greedyhash,
    itq,
    lsh,
    orthohash,
    sign_of_features,
    sign_of_pca,
)
from experiments.baselines._evaluate import check_baselines, evaluate_baselines
from experiments.baselines._registry import BASELINES, RIVALS, Baseline, Rival, register

register("lsh", lsh.logits)
register("itq", itq.logits)
register("features", sign_of_features.logits)
register("pca", sign_of_pca.logits)
register("dhn", Rival(dhn.init, dhn.loss))
register("dpsh", Rival(dpsh.init, dpsh.loss))
register("csq", Rival(csq.init, csq.loss))
register("orthohash", Rival(orthohash.init, orthohash.loss, batch_norm=True))
register("greedyhash", Rival(greedyhash.init, greedyhash.loss, one_class=True))

__all__ = [
    "BASELINES",
    "RIVALS",
    "Baseline",
    "Rival",
    "check_baselines",
    "evaluate_baselines",
    "register",
]
