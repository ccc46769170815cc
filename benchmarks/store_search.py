"""Measures the search of a store: in memory, with LanceDB, with its IVF index, and with faiss.

    python benchmarks/store_search.py --plot docs/images/store_search.png

The codes are clustered: each is one of many random centres with some bits flipped, and the queries
are generated in the same way. The recall of the index is the fraction of its 10 results that are as
near as the 10 nearest codes. The benchmark checks that all methods return correct distances.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from benchmarks.measuring import environment
from hashnet_jax.hamming import top_k
from hashnet_jax.index import (
    Neighbour,
    Store,
    StoreManifest,
    build_index,
    create_store,
    import_faiss,
    load_snapshot,
    make_rows,
    open_store,
    search_snapshots,
    search_tables,
)
from hashnet_jax.model import ModelSpec

matplotlib.use("Agg")
from matplotlib import pyplot

K = 10
FLIPPED = 0.05
ROWS_PER_TRANSACTION = 250_000


def make_codes(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Returns the packed codes of the database and of the queries."""
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 256, (options.centres, options.bits // 8), np.uint8)

    def near(number: int) -> np.ndarray:
        flipped = rng.random((number, options.bits), np.float32) < FLIPPED
        return centres[rng.integers(0, len(centres), number)] ^ np.packbits(flipped, axis=1)

    return near(options.codes), near(options.queries)


def fill(folder: Path, codes: np.ndarray) -> Store:
    spec = ModelSpec("small_cnn", bits=8 * codes.shape[1], image_size=8, resize=8)
    manifest = StoreManifest.of(spec, weights_sha256="0" * 64)
    store = create_store(folder, manifest)
    rng = np.random.default_rng(1)
    for start in range(0, len(codes), ROWS_PER_TRANSACTION):
        some = codes[start : start + ROWS_PER_TRANSACTION]
        names = [f"/home/somebody/pictures/IMG_{i:08}.jpg" for i in range(start, start + len(some))]
        # Random, because equal values would be compressed to nothing.
        files = {
            "sizes": rng.integers(10_000, 10_000_000, len(some)),
            "mtimes_ns": rng.integers(10**18, 2 * 10**18, len(some)),
            "sha256s": [rng.bytes(32) for _ in some],
        }
        store.upsert(make_rows(manifest, ids=names, codes=some, **files))
    return store


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())


def distances(found: Sequence[Sequence[Neighbour]]) -> list[list[int]]:
    return [[one.distance for one in row] for row in found]


def compare_exact(snapshot, codes, queries, repeats: int) -> np.ndarray:
    """Prints the rates of exact search in memory and with faiss; returns the nearest distances."""
    faiss = import_faiss("run this comparison")
    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(codes)
    expected, _ = index.search(queries, K)
    contenders = {
        "hamming.top_k": lambda some: np.asarray(top_k(some, snapshot.codes, K)[0]),
        "search_snapshots": lambda some: distances(search_snapshots([snapshot], some, k=K)),
        "faiss IndexBinaryFlat": lambda some: index.search(some, K)[0],
    }
    for number in (len(queries), 1):
        some, seconds = queries[:number], {name: [] for name in contenders}
        for repeat in range(repeats + 1):  # the first call compiles
            for name, search in contenders.items():
                elapsed, found = timed(lambda search=search, some=some: search(some))
                np.testing.assert_array_equal(found, expected[:number])
                if repeat:
                    seconds[name].append(elapsed)
        for name, times in seconds.items():
            report(name, number, statistics.median(times))
    return expected


def report(name: str, number: int, seconds: float) -> None:
    each = 1000 * seconds / number
    print(
        f"{name}, {number} at a time: {each:.3g} ms per query, {number / seconds:.4g}/s", flush=True
    )


def probe_index(store: Store, queries: np.ndarray, expected: np.ndarray, probes: Sequence[int]):
    """Returns ``(probes, recall, seconds per query)`` for each number of probes."""
    measured = []
    for number in probes:
        search_tables([store], queries[:2], K, probes=number)
        seconds, found = timed(lambda n=number: search_tables([store], queries, K, probes=n))
        near = [
            sum(one.distance <= row[-1] for one in neighbours) / K
            for neighbours, row in zip(found, expected, strict=True)
        ]
        measured.append((number, float(np.mean(near)), seconds / len(queries)))
        print(f"IVF, {number} probes: recall {measured[-1][1]:.4f}", flush=True)
        report(f"IVF, {number} probes", len(queries), seconds)
    return measured


def plot(measured, flat: float, path: str) -> None:
    """Plots recall and time per query against the number of probes."""
    probes, recall, seconds = zip(*measured, strict=True)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.semilogx(probes, recall, marker="o", base=2)
    left.set_ylabel(f"recall of the {K} nearest")
    left.set_ylim(min(0.5, *recall) - 0.02, 1.01)
    right.loglog(probes, [1000 * s for s in seconds], marker="o", base=2, label="IVF index")
    right.axhline(1000 * flat, color="0.4", ls="--", label="LanceDB without an index")
    right.set_yscale("log", base=10)
    right.set_ylim(1, 1000 * max(flat, *seconds) * 2)
    right.yaxis.set_major_formatter("{x:,.0f}")
    right.set_ylabel("ms per query")
    right.legend()
    for axes in (left, right):
        axes.set_xlabel("probes")
        axes.set_xticks(probes, [str(number) for number in probes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--codes", type=int, default=1_000_000, metavar="N", help="(default: 1,000,000)")
    add("--bits", type=int, default=64, metavar="K", help="a multiple of 8 (default: 64)")
    add("--centres", type=int, default=10_000, metavar="C", help="(default: 10,000)")
    add("--queries", type=int, default=1_000, metavar="Q", help="(default: 1,000)")
    add("--repeats", type=int, default=3, metavar="R", help="timed calls (default: 3)")
    add("--plot", default="store_search.png", metavar="FILE", help="output file of the plot")
    add("--small", action="store_true", help="use tiny sizes, for a quick smoke test")
    options = parser.parse_args(argv)
    if options.small:
        options.codes, options.centres, options.queries, options.repeats = 600, 10, 5, 1
    return options


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    print(", ".join(f"{name} {value}" for name, value in environment().items()), flush=True)
    codes, queries = make_codes(options)
    with tempfile.TemporaryDirectory() as folder:
        uri = Path(folder, "store")
        seconds, store = timed(lambda: fill(uri, codes))
        print(f"{len(codes):,} codes of {options.bits} bits written in {seconds:.2f} s, "
              f"{size(uri.rglob('*')):,} bytes")  # fmt: skip
        seconds, snapshot = timed(lambda: load_snapshot(uri))
        again, _ = timed(lambda: load_snapshot(uri))
        print(f"snapshot: read from the table in {seconds:.2f} s, then mapped in {again:.3f} s")
        expected = compare_exact(snapshot, codes, queries, options.repeats)
        few = queries[:20]
        flat, found = timed(lambda: search_tables([store], few, K))
        np.testing.assert_array_equal(distances(found), expected[: len(few)])
        report("LanceDB without an index", len(few), flat)
        seconds, _ = timed(lambda: build_index(store))
        print(f"index built in {seconds:.1f} s, {size(uri.rglob('*.idx')):,} bytes", flush=True)
        probes = [2**i for i in range(8)]
        measured = probe_index(open_store(uri), queries[:200], expected[:200], probes)
    plot(measured, flat / len(few), options.plot)
    print(f"plot: {options.plot}")


if __name__ == "__main__":
    main()
