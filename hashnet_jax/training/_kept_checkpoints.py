"""Decides which checkpoints to keep: the latest, and those with the best validation MAP."""

from collections.abc import Iterator, Sequence
from typing import Any


class KeptCheckpoints:
    """Tells orbax which checkpoints to preserve.

    The MAPs come from the checkpoints' records, which contain a hash of their own content. orbax
    could rank checkpoints by itself, but it would read the MAPs from files without a hash, and a
    flipped bit could make it delete the best checkpoint.

    Args:
      keep_last: number of latest checkpoints to keep, >= 1.
      keep_best: number of checkpoints with the best validation MAP to keep as well.

    Attributes:
      maps: ``{step: MAP}`` for the saved checkpoints; the MAP is None if it was not measured.
    """

    def __init__(self, keep_last: int, keep_best: int) -> None:
        self._keep_last, self._keep_best = keep_last, keep_best
        self.maps: dict[int, float | None] = {}

    def measured(self) -> Iterator[int]:
        """Yields the steps that have a MAP, best first; if MAPs tie, the later step comes first."""
        scores = [(score, step) for step, score in self.maps.items() if score is not None]
        yield from (step for _, step in sorted(scores, reverse=True))

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Returns whether to keep each checkpoint; orbax calls this after each save."""
        del context
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = {*steps[-self._keep_last :]}
        kept |= {*[step for step in self.measured() if step in steps][: self._keep_best]}
        return [step in kept for step in steps]
