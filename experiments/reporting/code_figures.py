"""Figures of the codes that training ends in: the histogram of |h|, and a map of codes."""

import collections

import jax
import matplotlib.patheffects
import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from hashnet_jax import logits, relax
from hashnet_jax.data.pipeline import fill, image_batches
from hashnet_jax.preprocess import preprocess
from reporting.figures import BLUE, GREY, PALE, WIDTH, draw
from reporting.finished_run import label_ids

# Enough for the shape of both figures; t-SNE's time grows with the square.
HISTOGRAM_IMAGES, MAP_CODES = 1000, 2000

# Tol's "muted", for colour-blind readers, and a tenth; classes beyond it are drawn in pale grey.
CLASS_COLORS = (
    *("#332288", "#88ccee", "#44aa99", "#117733", "#999933"),
    *("#ddcc77", "#cc6677", "#882255", "#aa4499", "#555555"),
)


def relaxed_codes(run, dataset, params, *, seed=0):
    """Relaxed codes h of the queries at the beta of the run's end, ``[Q, K]``.

    At most ``HISTOGRAM_IMAGES`` of them, by a seeded draw.
    """
    indices = _drawn(run.query.indices, HISTOGRAM_IMAGES, seed)
    size, batch_size = params.spec.resize, min(100, len(indices))
    relax_images = jax.jit(lambda p, x, beta: relax(logits(p, preprocess(x, p.spec)), beta))
    codes = []
    for images in image_batches(dataset.source, indices, size, batch_size=batch_size):
        given = fill(images, batch_size)
        codes.append(np.asarray(relax_images(params, given, run.end["beta"]))[: len(images)])
    return np.concatenate(codes)


def histogram_figure(run, relaxed):
    """The histogram of |h| over the entries of relaxed codes ``[Q, K]``."""
    size = np.abs(relaxed).ravel()
    mean, near = float(size.mean()), float((size >= 0.9).mean())
    share, edges = np.histogram(size, bins=40, range=(0, 1))
    share = 100 * share / len(size)

    def plot(figure):
        axes = figure.subplots()
        axes.stairs(share, edges, fill=True, color=BLUE, alpha=0.25)
        axes.stairs(share, edges, color=BLUE, linewidth=1.2)
        axes.set(
            xlabel=f"$|h|$ = $|$tanh($\\beta z$)$|$, $\\beta$ = {run.end['beta']:.3g}",
            ylabel="Entries of codes (%)",
            xlim=(0, 1),
            ylim=(0, 1.25 * share.max()),  # headroom for the note
        )
        axes.axvline(mean, color=PALE, linewidth=0.8, zorder=0)
        axes.annotate(
            f"mean {mean:.3f}\n{near:.0%} at 0.9 or more",
            (mean, axes.get_ylim()[1]),
            xytext=(-4, -2) if mean > 0.5 else (4, -2),
            textcoords="offset points",
            ha="right" if mean > 0.5 else "left",
            va="top",
            fontsize=8,
            linespacing=0.95,
            color=GREY,
        )

    return draw(
        "relaxed_codes",
        "Relaxed codes",
        f"Histogram of |h| over the {relaxed.shape[1]} entries of the relaxed codes of "
        f"{len(relaxed):,} queries, at the β of the end. Binary codes have |h| = 1.",
        f"Histogram of the absolute value of relaxed codes, from 0 to 1: mean {mean:.3f}, "
        f"{near:.0%} of the entries at 0.9 or more, {np.mean(size < 0.5):.0%} below 0.5.",
        plot,
    )


def map_figure(run, dataset, *, seed=0):
    """Codes of the database on a plane by t-SNE, coloured by class.

    Of at most ``MAP_CODES`` images, by a seeded draw. Equal codes are one point, which shows how
    many there are; drawn over each other they would hide it.
    """
    chosen = _drawn(np.arange(len(run.database.codes)), MAP_CODES, seed)
    distinct, code_of, images = np.unique(
        run.database.codes[chosen], axis=0, return_inverse=True, return_counts=True
    )
    label_of = _majority(code_of.ravel(), [label_ids(run.database.labels[i]) for i in chosen])
    plane = _embed(np.unpackbits(distinct, axis=1, count=run.bits).astype(np.float32), seed)
    frequent = [i for i, _ in collections.Counter(label_of[label_of >= 0].tolist()).most_common()]
    colored = sorted(frequent[: len(CLASS_COLORS)])
    others = ~np.isin(label_of, colored)
    by = "first label" if run.multi_label else "class"
    rest = "; other classes in grey" if others.any() else ""

    def plot(figure):
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_aspect("equal", "datalim")
        # Points as a picture: thousands of them as outlines make a heavy SVG.
        style = {"linewidths": 0.3, "edgecolors": "white", "rasterized": True}
        axes.scatter(*plane[others].T, s=5 * images[others], color=PALE, **style)
        long = max(len(dataset.classes[label]) for label in colored) > 6 if colored else False
        lettering = {"fontsize": 7} if long else {"weight": "bold"}
        outline = [matplotlib.patheffects.withStroke(linewidth=2.2, foreground="white")]
        for label, color in zip(colored, CLASS_COLORS, strict=False):
            of = label_of == label
            axes.scatter(*plane[of].T, s=5 * images[of], color=color, **style)
            # Above a code of the class: at the mean there may be none.
            middle = np.average(plane[of], axis=0, weights=images[of])
            at = np.flatnonzero(of)[np.abs(plane[of] - middle).sum(axis=1).argmin()]
            axes.annotate(
                _shortened(dataset.classes[label]),
                plane[at],
                xytext=(0, 1 + np.sqrt(5 * images[at]) / 2),
                textcoords="offset points",
                ha="center",
                va="bottom",
                **lettering,
                path_effects=outline,
            )

    return draw(
        "tsne",
        "Map of codes",
        f"t-SNE of the binary codes of {len(chosen):,} images of the database. A point is a code, "
        f"its area the number of images that have it, its colour their most frequent {by}{rest}. "
        "Distances between clusters mean little.",
        f"Scatter plot by t-SNE of {len(distinct):,} distinct codes of {len(chosen):,} images, "
        f"coloured by {by}: {', '.join(dataset.classes[i] for i in colored)}{rest}. The most "
        f"frequent code is that of {images.max():,} images.",
        plot,
        height=WIDTH,
    )


def _majority(code_of, labels):
    """The most frequent first label of the images of each code; -1 where none has a label."""
    votes = [collections.Counter() for _ in range(code_of.max() + 1)]
    for code, ids in zip(code_of, labels, strict=True):
        votes[code][ids[0] if ids else -1] += 1
    return np.array([vote.most_common(1)[0][0] for vote in votes])


def _embed(codes, seed):
    """``[N, 2]`` by t-SNE, which needs more than a few points."""
    if len(codes) < 5:
        return np.stack([np.arange(len(codes)), np.zeros(len(codes))], axis=1)
    perplexity = min(30, (len(codes) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    # Its threads wait for each other 1,000 times: a busy machine is many times slower with them.
    with threadpool_limits(1):
        return tsne.fit_transform(codes)


def _drawn(items, most, seed):
    return np.random.default_rng(seed).permutation(items)[:most]


def _shortened(name):
    return name if len(name) <= 12 else name[:11] + "…"
