"""Compares our MAP@R, which includes the tie band, with the usual NumPy evaluation.

For each query, the usual evaluation ranks the database by inner products of ±1 codes with a full
argsort, compares labels, and computes AP@R with ties in arbitrary order. It is run on a sample of
the queries, and its time is scaled up to all queries. The two evaluations are timed alternately,
and median times are printed. The benchmark checks that each AP of the usual evaluation lies within
the tie band of its query. Peak memory is measured in a fresh process that only imports the package,
generates the codes and evaluates them.

    python benchmarks/map_speed.py
    python benchmarks/map_speed.py --case cifar10 --rounds 5
    python benchmarks/map_speed.py --queries 50 --database 2000 --cutoff 100   # takes seconds
"""

import argparse
import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

# The inner products of the usual evaluation are too small to benefit from multithreading. On a busy
# machine, two threads were three times slower than one, which would inflate the ratio.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.measuring import own_peak, peak_of_process
from hashnet_jax.metrics import DistanceCounts, average_precision, evaluate


@dataclasses.dataclass(frozen=True)
class Case:
    """The sizes of a retrieval problem."""

    queries: int
    database: int
    classes: int
    cutoff: int


CASES = {
    "imagenet100": Case(queries=5_000, database=128_503, classes=100, cutoff=1_000),
    "cifar10": Case(queries=5_000, database=54_000, classes=10, cutoff=5_000),
}


def make_codes(case: Case, bits: int, seed: int) -> tuple[np.ndarray, ...]:
    """Generates packed codes that resemble those of a trained network.

    Each code is a class centre with randomly flipped bits. The flip probability of each image is
    drawn from Beta(1, 4), so that distances within classes overlap with distances between classes.

    Returns:
      Query codes, database codes, query labels and database labels.
    """
    rng = np.random.default_rng(seed)
    centres = np.packbits(rng.random((case.classes, bits)) < 0.5, axis=1)
    packed, labels = [], []
    for n in (case.queries, case.database):
        classes = rng.integers(0, case.classes, n)
        probability = rng.beta(1, 4, (n, 1)).astype(np.float32)
        flips = np.packbits(rng.random((n, bits), np.float32) < probability, axis=1)
        packed.append(centres[classes] ^ flips)
        labels.append(classes)
    return *packed, *labels


def usual_ap(code, database, label, labels, cutoff: int) -> float:
    """Computes AP@R for one query by sorting; labels are class ids or one-hot rows."""
    distance = 0.5 * (len(code) - database @ code)
    hits = labels == label if labels.ndim == 1 else labels @ label > 0
    retrieved = hits[np.argsort(distance)][:cutoff]
    found = retrieved.sum()
    if found == 0:
        return 0.0
    return np.sum(np.cumsum(retrieved) / np.arange(1, len(retrieved) + 1) * retrieved) / found


class UsualEvaluation:
    """The usual evaluation on a sample of the queries; construction is not timed."""

    def __init__(self, case: Case, arrays, bits: int, sample: int, labels: str):
        packed_q, packed_db, labels_q, labels_db = arrays
        self.case, self.sample = case, np.linspace(0, case.queries - 1, sample).astype(int)
        queries, self.database = (
            2 * np.unpackbits(packed, axis=1, count=bits).astype(np.float32) - 1
            for packed in (packed_q[self.sample], packed_db)
        )
        if labels == "one-hot":
            one_hot = np.eye(case.classes, dtype=np.float32)
            labels_q, labels_db = one_hot[labels_q], one_hot[labels_db]
        self.labels = labels_db
        self.queries = list(zip(queries, labels_q[self.sample], strict=True))

    def __call__(self) -> list[float]:
        return [
            usual_ap(code, self.database, label, self.labels, self.case.cutoff)
            for code, label in self.queries
        ]


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Calls a function; returns the elapsed time in seconds and the result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def check_in_band(aps, counts: DistanceCounts, sample, cutoff: int) -> None:
    """Raises a RuntimeError if an AP of the usual evaluation lies outside the tie band."""
    counts = DistanceCounts(counts.relevant[sample], counts.total[sample])
    band = average_precision(counts, cutoff=cutoff)
    worst = np.where(band.may_miss, 0, band.worst)
    if not np.all((worst - 1e-9 <= aps) & (aps <= band.best + 1e-9)):
        raise RuntimeError("an AP of the usual evaluation lies outside its query's tie band.")


def run(name: str, case: Case, memory: float, options: argparse.Namespace) -> None:
    """Times both evaluations alternately and prints the medians."""
    print(
        f"{name}: {case.queries} queries x {case.database} codes x {options.bits} bits, "
        f"{case.classes} classes, R = {case.cutoff}"
    )
    arrays = make_codes(case, options.bits, options.seed)
    sample = min(options.sample, case.queries)
    usual = UsualEvaluation(case, arrays, options.bits, sample, options.labels)
    ours_seconds, usual_seconds = [], []
    for _ in range(options.rounds):
        elapsed, aps = timed(usual)
        usual_seconds.append(elapsed * case.queries / sample)
        elapsed, result = timed(lambda: evaluate(*arrays, bits=options.bits, cutoff=case.cutoff))
        ours_seconds.append(elapsed)
        check_in_band(aps, result.counts, usual.sample, case.cutoff)
    ours, theirs = statistics.median(ours_seconds), statistics.median(usual_seconds)
    print(f"  {result.mean_average_precision}")
    print(
        f"  usual NumPy: {theirs:.2f} s (labels as {options.labels}; scaled from {sample} queries)"
    )
    print(f"  hashnet_jax: {ours:.2f} s (all queries, with the tie band)")
    print(f"  ratio: {theirs / ours:.1f} (medians of {options.rounds} alternating runs)")
    print(f"  peak memory: {memory:.0f} MiB (hashnet_jax, whole process)", flush=True)


def peak_memory(case: Case, options: argparse.Namespace) -> float:
    """Returns the peak memory in MiB of a process that evaluates the case once."""
    sizes = [f"--{field}={value}" for field, value in dataclasses.asdict(case).items()]
    settings = [f"--bits={options.bits}", f"--seed={options.seed}"]
    return peak_of_process("map_speed", "--memory", "--case=imagenet100", *sizes, *settings)


def print_own_peak(case: Case, options: argparse.Namespace) -> None:
    arrays = make_codes(case, options.bits, options.seed)
    evaluate(*arrays, bits=options.bits, cutoff=case.cutoff)
    print(own_peak())


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--case", choices=CASES, action="append", help="cases to measure (default: all)")
    add("--queries", type=int, metavar="Q", help="override the number of queries")
    add("--database", type=int, metavar="N", help="override the size of the database")
    add("--classes", type=int, metavar="C", help="override the number of classes")
    add("--cutoff", type=int, metavar="R", help="override the cut-off")
    add("--bits", type=int, default=64, metavar="K", help="bits per code (default: 64)")
    add(
        "--sample",
        type=int,
        default=100,
        metavar="N",
        help="number of queries for the usual evaluation (default: 100)",
    )
    add(
        "--labels",
        choices=("ids", "one-hot"),
        default="ids",
        help="how the usual evaluation compares labels: by class ids, or by inner products of "
        "one-hot rows, which is slower but more common (default: ids)",
    )
    add(
        "--rounds",
        type=int,
        default=3,
        metavar="N",
        help="number of timed runs of each evaluation (default: 3)",
    )
    add("--seed", type=int, default=0, metavar="N", help="seed for the codes (default: 0)")
    add("--memory", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    sizes = {field.name: getattr(options, field.name) for field in dataclasses.fields(Case)}
    sizes = {field: size for field, size in sizes.items() if size is not None}
    cases = {name: dataclasses.replace(CASES[name], **sizes) for name in options.case or CASES}
    if options.memory:
        (case,) = cases.values()
        print_own_peak(case, options)
        return
    memory = {name: peak_memory(case, options) for name, case in cases.items()}
    for name, case in cases.items():
        run(name, case, memory[name], options)


if __name__ == "__main__":
    main()
