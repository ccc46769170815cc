"""Measures how running time grows with problem size, and fits power laws to the times.

    python benchmarks/cost.py --plot docs/images/cost.png

There are five curves: the loss with its gradient as a function of batch size and of code length,
top-100 search as a function of database size and of code length, and MAP as a function of database
size. Each curve has five sizes, each twice as large as the previous one, which are timed in turn. A
power law is fitted to the median times by least squares in log-log space, both for all five sizes
and for the last three, where fixed costs matter less.
"""

import argparse
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from benchmarks.map_speed import Case, make_codes
from benchmarks.measuring import Row, environment, measure
from benchmarks.suite_loss import prepare
from hashnet_jax.hamming import top_k
from hashnet_jax.metrics import evaluate

matplotlib.use("Agg")
from matplotlib import pyplot


def loss_over_batch(n: int) -> Callable:
    return prepare("blocks", n, 64)


def loss_over_bits(n: int) -> Callable:
    return prepare("blocks", 2_048, n)


def search(n_codes: int, bits: int, queries: int = 100) -> Callable:
    rng = np.random.default_rng(0)
    database = jnp.asarray(rng.integers(0, 256, (n_codes, bits // 8), np.uint8))
    k = min(100, n_codes)
    top = jax.jit(top_k, static_argnums=2)
    return lambda: top(database[:queries], database, k)


def search_over_database(n: int) -> Callable:
    return search(n, 64)


def search_over_bits(n: int) -> Callable:
    return search(250_000, n)


def map_over_database(n: int) -> Callable:
    cutoff = min(1_000, n)
    arrays = make_codes(Case(queries=500, database=n, classes=100, cutoff=cutoff), 64, 0)
    return lambda: evaluate(*arrays, bits=64, cutoff=cutoff)


# {curve name: (quantity to double, its smallest value, function that prepares the timed call)}
CURVES = {
    "loss with gradients, K = 64": ("batch B = N", 1_024, loss_over_batch),
    "loss with gradients, B = N = 2,048": ("bits K", 32, loss_over_bits),
    "top-100 of 100 queries, K = 64": ("database N", 65_536, search_over_database),
    "top-100 of 100 queries, N = 250,000": ("bits K", 32, search_over_bits),
    "MAP@1,000 of 500 queries, K = 64": ("database N", 8_192, map_over_database),
}


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Returns the slope of log time as a function of log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def measure_curve(name: str, smallest: int, prepare_size: Callable, repeats: int):
    """Times one curve; returns the five sizes and their median times in seconds."""
    sizes = [smallest * 2**i for i in range(5)]
    rows = [(Row("cost", name, str(n)), prepare_size(n)) for n in sizes]
    return sizes, [row.median for row in measure(rows, repeats)]


def plot(curves, path: str) -> None:
    """Plots time against size on log-log axes, with one panel per scaled quantity."""
    kinds = list(dict.fromkeys(kind for kind, *_ in curves.values()))
    figure, panels = pyplot.subplots(
        1, len(kinds), figsize=(4 * len(kinds), 3.6), layout="constrained", sharey=True
    )
    for kind, axes in zip(kinds, panels, strict=True):
        _plot_panel(axes, kind, {name: rest for name, (of, *rest) in curves.items() if of == kind})
    low, high = (pick(s for _, _, t in curves.values() for s in t) for pick in (min, max))
    panels[0].set_ylim(low / 2, high * 8)  # Leave room for the legends.
    panels[0].set_ylabel("seconds")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _plot_panel(axes, kind: str, curves) -> None:
    ticks = set()
    for name, (sizes, seconds) in curves.items():
        label = f"{name}: {exponent(sizes[-3:], seconds[-3:]):.2f}"
        axes.loglog(sizes, seconds, marker="o", label=label)
        ticks |= set(sizes)
    axes.set_xticks(sorted(ticks), [f"{n:,}" for n in sorted(ticks)], fontsize=7, rotation=30)
    axes.minorticks_off()
    axes.set_xlabel(kind)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="upper left", title="exponent, last three sizes", title_fontsize=7)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--plot", default="cost.png", metavar="FILE", help="output file (default: cost.png)")
    add("--repeats", type=int, default=5, metavar="N", help="number of timed calls (default: 5)")
    add("--small", action="store_true", help="use tiny sizes, for a quick smoke test")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    print(", ".join(f"{name} {value}" for name, value in environment().items()), flush=True)
    curves = {}
    for name, (kind, smallest, prepare_size) in CURVES.items():
        divisor = 1 if not options.small else 4 if kind == "bits K" else 64
        smallest = max(8, smallest // divisor)
        sizes, seconds = measure_curve(name, smallest, prepare_size, options.repeats)
        curves[name] = kind, sizes, seconds
        times = ", ".join(f"{n:,}: {s:.4g} s" for n, s in zip(sizes, seconds, strict=True))
        last = exponent(sizes[-3:], seconds[-3:])
        fitted = f"{exponent(sizes, seconds):.2f} for all sizes, {last:.2f} for the last three"
        print(f"{name}, varying {kind}: {times}; exponent: {fitted}", flush=True)
    plot(curves, options.plot)
    print(f"plot: {options.plot}")


if __name__ == "__main__":
    main()
