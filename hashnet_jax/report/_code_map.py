"""Maps distinct database codes to the plane with t-SNE and finds their most frequent classes."""

import collections
import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from hashnet_jax.report._finished_run import FinishedRun, label_ids

MAP_IMAGES = 2000  # enough to show the structure; t-SNE takes quadratic time
NO_LABEL = -1


@dataclasses.dataclass(frozen=True)
class CodeMap:
    """A map of the distinct codes in a sample of images.

    Attributes:
      plane: coordinates of each code on the map.
      images: number of images with each code.
      classes: the most frequent class of the images with each code. The class of an image is its
        first label, or ``NO_LABEL``.
    """

    plane: Float[np.ndarray, "P 2"]
    images: Int[np.ndarray, " P"]
    classes: Int[np.ndarray, " P"]

    def by_frequency(self) -> list[int]:
        """Returns the classes in ``self.classes``, those with the most codes first."""
        labelled = self.classes[self.classes != NO_LABEL].tolist()
        return [label for label, _ in collections.Counter(labelled).most_common()]

    def members(self, label: int) -> Bool[np.ndarray, " P"]:
        """Returns a mask of the codes whose entry in ``self.classes`` is ``label``."""
        return self.classes == label

    def central_code(self, label: int) -> int:
        """Returns the index of the class's most central code, the nearest to the class mean."""
        codes = np.flatnonzero(self.members(label))
        middle = np.average(self.plane[codes], axis=0, weights=self.images[codes])
        return int(codes[np.abs(self.plane[codes] - middle).sum(axis=1).argmin()])

    def told_apart(self, labels: list[int]) -> float:
        """Returns the fraction of images whose nearest class mean is that of their own class."""
        chosen = np.isin(self.classes, labels)
        if not chosen.any():
            return 1.0
        means = np.stack(
            [
                np.average(self.plane[of_class], axis=0, weights=self.images[of_class])
                for of_class in map(self.members, labels)
            ]
        )
        distance = np.linalg.norm(self.plane[chosen, None] - means, axis=-1)
        own = np.asarray(labels)[distance.argmin(axis=1)] == self.classes[chosen]
        return float(np.average(own, weights=self.images[chosen]))


def code_map(run: FinishedRun, *, seed: int = 0) -> CodeMap:
    """Maps the distinct codes of up to ``MAP_IMAGES`` random database images to the plane.

    Images with the same code become a single point, because overlapping points would hide how many
    images have that code.
    """
    chosen = np.random.default_rng(seed).permutation(len(run.database.codes))[:MAP_IMAGES]
    distinct, code_of, images = np.unique(
        run.database.codes[chosen], axis=0, return_inverse=True, return_counts=True
    )
    classes = _majority(code_of.ravel(), [label_ids(run.database.labels[i]) for i in chosen])
    bits = np.unpackbits(distinct, axis=1, count=run.bits).astype(np.float32)
    return CodeMap(_embed(bits, seed), images, classes)


def _majority(code_of: Int[np.ndarray, " N"], labels: list[list[int]]) -> Int[np.ndarray, " P"]:
    """For each code, returns the most frequent first label of the images with that code."""
    votes: list[collections.Counter[int]] = [
        collections.Counter() for _ in range(code_of.max() + 1)
    ]
    for code, ids in zip(code_of.tolist(), labels, strict=True):
        votes[code][ids[0] if ids else NO_LABEL] += 1
    return np.array([vote.most_common(1)[0][0] for vote in votes])


def _embed(codes: Float[np.ndarray, "P K"], seed: int) -> Float[np.ndarray, "P 2"]:
    """Embeds the codes with t-SNE, or places them on a line if there are too few for t-SNE."""
    if len(codes) < 5:
        return np.stack([np.arange(len(codes)), np.zeros(len(codes))], axis=1)
    perplexity = min(30, (len(codes) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    # t-SNE synchronizes its threads 1,000 times, which makes it far slower on a busy machine.
    with threadpool_limits(1):
        return np.asarray(tsne.fit_transform(codes))
