"""How cost grows with size: each size is doubled four times, and a power of it fitted to the times.

    python benchmarks/cost.py --plot docs/cost.png

Five lines: loss with gradients over the batch and over the bits, top-100 over the database and over
the bits, MAP over the database. The sizes of a line take turns; medians are fitted by least squares
of logarithms, over all five sizes and over the last three, which small sizes' fixed cost spares.
"""

import argparse

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from map_speed import Case, make_codes
from measuring import Row, environment, measure
from suite_loss import prepare

from hashnet_jax import hamming
from hashnet_jax.metrics import evaluate

matplotlib.use("Agg")
from matplotlib import pyplot


def loss_over_batch(n):
    return prepare("blocks", n, 64)


def loss_over_bits(n):
    return prepare("blocks", 2_048, n)


def search(n_codes, bits, queries=100):
    rng = np.random.default_rng(0)
    database = jnp.asarray(rng.integers(0, 256, (n_codes, bits // 8), np.uint8))
    k = min(100, n_codes)
    top = jax.jit(hamming.top_k, static_argnums=2)
    return lambda: top(database[:queries], database, k)


def search_over_database(n):
    return search(n, 64)


def search_over_bits(n):
    return search(250_000, n)


def map_over_database(n):
    cutoff = min(1_000, n)
    arrays = make_codes(Case(queries=500, database=n, classes=100, cutoff=cutoff), 64, 0)
    return lambda: evaluate(*arrays, bits=64, cutoff=cutoff)


# What is measured: over which size, from where, and the function of that size.
LINES = {
    "loss with gradients, K = 64": ("batch B = N", 1_024, loss_over_batch),
    "loss with gradients, B = N = 2,048": ("bits K", 32, loss_over_bits),
    "top-100 of 100 queries, K = 64": ("database N", 65_536, search_over_database),
    "top-100 of 100 queries, N = 250,000": ("bits K", 32, search_over_bits),
    "MAP@1,000 of 500 queries, K = 64": ("database N", 8_192, map_over_database),
}


def exponent(sizes, seconds):
    """The slope of log time over log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def line(name, smallest, function, repeats, divide):
    sizes = [max(8, smallest // divide) * 2**i for i in range(5)]
    rows = [(Row("cost", name, str(n)), function(n)) for n in sizes]
    return sizes, [row.median for row in measure(rows, repeats)]


def plot(lines, path):
    """One panel for each kind of size, time over size on logarithmic axes."""
    kinds = list(dict.fromkeys(kind for kind, *_ in lines.values()))
    figure, panels = pyplot.subplots(
        1, len(kinds), figsize=(4 * len(kinds), 3.6), layout="constrained", sharey=True
    )
    for kind, axes in zip(kinds, panels, strict=True):
        ticks = set()
        for name, (of, sizes, seconds) in lines.items():
            if of == kind:
                label = f"{name}: {exponent(sizes[-3:], seconds[-3:]):.2f}"
                axes.loglog(sizes, seconds, marker="o", label=label)
                ticks |= set(sizes)
        axes.set_xticks(sorted(ticks), [f"{n:,}" for n in sorted(ticks)], fontsize=7, rotation=30)
        axes.minorticks_off()
        axes.set_xlabel(kind)
        axes.grid(alpha=0.3)
        axes.legend(
            fontsize=7, loc="upper left", title="exponent of the last three", title_fontsize=7
        )
    low, high = (pick(s for _, _, t in lines.values() for s in t) for pick in (min, max))
    panels[0].set_ylim(low / 2, high * 8)  # room for the legends
    panels[0].set_ylabel("seconds")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def parse(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plot", default="cost.png", metavar="FILE", help="(cost.png)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="timed repeats (5)")
    parser.add_argument("--small", action="store_true", help="sizes of seconds, to see it work")
    return parser.parse_args(argv)


def main(argv=None):
    options = parse(argv)
    print(", ".join(f"{name} {value}" for name, value in environment().items()), flush=True)
    lines = {}
    for name, (kind, smallest, function) in LINES.items():
        divide = 1 if not options.small else 4 if kind == "bits K" else 64
        sizes, seconds = line(name, smallest, function, options.repeats, divide)
        lines[name] = kind, sizes, seconds
        times = ", ".join(f"{n:,}: {s:.4g} s" for n, s in zip(sizes, seconds, strict=True))
        last = exponent(sizes[-3:], seconds[-3:])
        fitted = f"{exponent(sizes, seconds):.2f}, of the last three {last:.2f}"
        print(f"{name}, over {kind}: {times}; exponent {fitted}", flush=True)
    plot(lines, options.plot)
    print(f"plot: {options.plot}")


if __name__ == "__main__":
    main()
