"""Watches the training metrics for signs that a run cannot succeed."""

import math
from collections.abc import Callable, Mapping

# A condition is reported after it has held for this many successive batches. In a healthy run, it
# may hold for single batches, e.g. if they are small and the data set has many classes.
PATIENCE = 100


class BatchWatch:
    """Reports each warning sign once it has been present in ``PATIENCE`` successive batches.

    Args:
      bits: K, the code length.
      say: called with a line of text that describes the warning sign.

    Examples:
      >>> watch = BatchWatch(bits=12, say=print)
      >>> for step in range(1, PATIENCE + 1):
      ...     watch.add(step, {"similar_share": 0.0, "constant_bits": 1.0})
      warning: in steps 1 to 100, no batch contained a similar pair of images. ...
      warning: in steps 1 to 100, 1 or more of 12 bits were the same for all images in each batch.
    """

    def __init__(self, *, bits: int, say: Callable[[str], object]) -> None:
        self._bits, self._say = bits, say
        self._lasted: dict[str, int] = {}
        self._fewest_constant = math.inf

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Adds the next batch's metrics, as returned by :func:`hashnet_jax.training.train_step`."""
        constant = int(numbers["constant_bits"])
        held = {
            "similar": numbers["similar_share"] == 0.0,
            "dissimilar": numbers["similar_share"] == 1.0,
            "collapse": constant == self._bits,
            "bits": 0 < constant < self._bits,
        }
        self._fewest_constant = min(self._fewest_constant, constant) if held["bits"] else math.inf
        for name, holds in held.items():
            self._lasted[name] = self._lasted.get(name, 0) + 1 if holds else 0
            if self._lasted[name] == PATIENCE:
                steps = f"warning: in steps {step - PATIENCE + 1} to {step}, "
                self._say(steps + self._description(name))

    def _description(self, name: str) -> str:
        return {
            "similar": "no batch contained a similar pair of images. Nothing can be learned from "
            "such batches. Use a larger `batch_size`, or check the labels.",
            "dissimilar": "no batch contained a dissimilar pair of images. Nothing can be learned "
            "from such batches. Check the labels.",
            "collapse": f"all {self._bits} bits were the same for all images in each batch: the "
            "codes have collapsed. Lower `learning_rate`.",
            "bits": f"{self._fewest_constant} or more of {self._bits} bits were the same for all "
            "images in each batch.",
        }[name]
