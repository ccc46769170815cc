"""MAP@R with its tie band, against the usual NumPy evaluation, in time and in memory.

The usual evaluation ranks the database for each query: inner products of ±1 codes, a full argsort,
a comparison of labels, and one AP@R for whatever order the sort left the ties in. It is run on a
sample of the queries and its time scaled up to all of them; both sides are run in turn, and medians
are printed. Each AP of the usual evaluation is checked to lie in the band of its query. Peak memory
is that of a process of its own that only imports the package, makes the codes and evaluates them.

    python benchmarks/map_speed.py
    python benchmarks/map_speed.py --case cifar10 --rounds 5
    python benchmarks/map_speed.py --queries 50 --database 2000 --cutoff 100   # seconds
"""

import argparse
import dataclasses
import os
import resource
import statistics
import subprocess
import sys
import time

# For the usual evaluation's inner products, too small to share: two threads were slower on a busy
# machine by a factor of three, which would flatter the ratio.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from hashnet_jax.average_precision import average_precision
from hashnet_jax.counting import DistanceCounts
from hashnet_jax.metrics import evaluate


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes of one retrieval problem, as in the protocols of the field."""

    queries: int
    database: int
    classes: int
    cutoff: int


CASES = {
    "imagenet100": Case(queries=5_000, database=128_503, classes=100, cutoff=1_000),
    "cifar10": Case(queries=5_000, database=54_000, classes=10, cutoff=5_000),
}


def make_codes(case, bits, seed):
    """Packed codes as a trained network gives them: a centre for each class, bits flipped.

    An image keeps each bit of its centre with a probability of its own, from certain to a coin's
    toss, so that distances within a class spread as far as those between classes.
    """
    rng = np.random.default_rng(seed)
    centres = np.packbits(rng.random((case.classes, bits)) < 0.5, axis=1)
    packed, labels = [], []
    for n in (case.queries, case.database):
        of_class = rng.integers(0, case.classes, n)
        flip = rng.beta(1, 4, (n, 1)).astype(np.float32)
        flips = np.packbits(rng.random((n, bits), np.float32) < flip, axis=1)
        packed.append(centres[of_class] ^ flips)
        labels.append(of_class)
    return *packed, *labels


def usual_ap(code, database, label, labels, cutoff):
    """AP@R of one query by sorting; the label is a class id or a one-hot row."""
    distance = 0.5 * (len(code) - database @ code)
    hits = labels == label if labels.ndim == 1 else labels @ label > 0
    shown = hits[np.argsort(distance)][:cutoff]
    found = shown.sum()
    if found == 0:
        return 0.0
    return np.sum(np.cumsum(shown) / np.arange(1, len(shown) + 1) * shown) / found


class Usual:
    """The usual evaluation of a sample of the queries, set up once, outside the timing."""

    def __init__(self, case, arrays, bits, sample, labels):
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

    def __call__(self):
        return [
            usual_ap(code, self.database, label, self.labels, self.case.cutoff)
            for code, label in self.queries
        ]


def seconds(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def check_in_band(aps, counts, sample, cutoff):
    """Raises if an AP of the usual evaluation lies outside the band of its query."""
    counts = DistanceCounts(counts.relevant[sample], counts.total[sample])
    band = average_precision(counts, cutoff=cutoff)
    worst = np.where(band.may_miss, 0, band.worst)
    if not np.all((worst - 1e-9 <= aps) & (aps <= band.best + 1e-9)):
        raise RuntimeError("an AP of the usual evaluation lies outside the tie band of its query.")


def run(name, case, memory, options):
    print(
        f"{name}: {case.queries} queries x {case.database} codes x {options.bits} bits, "
        f"{case.classes} classes, R = {case.cutoff}"
    )
    arrays = make_codes(case, options.bits, options.seed)
    sample = min(options.sample, case.queries)
    usual = Usual(case, arrays, options.bits, sample, options.labels)
    ours_seconds, usual_seconds = [], []
    for _ in range(options.rounds):
        elapsed, aps = seconds(usual)
        usual_seconds.append(elapsed * case.queries / sample)
        elapsed, result = seconds(lambda: evaluate(*arrays, bits=options.bits, cutoff=case.cutoff))
        ours_seconds.append(elapsed)
        check_in_band(aps, result.counts, usual.sample, case.cutoff)
    ours, theirs = statistics.median(ours_seconds), statistics.median(usual_seconds)
    print(f"  {result.mean_average_precision}")
    print(
        f"  usual NumPy: {theirs:.2f} s (labels as {options.labels}; scaled from {sample} queries)"
    )
    print(f"  hashnet_jax: {ours:.2f} s (all queries, with the band)")
    print(f"  ratio: {theirs / ours:.1f} (medians of {options.rounds} runs in turn)")
    print(f"  peak memory: {memory:.0f} MiB (hashnet_jax, whole process)", flush=True)


def peak_memory(case, options):
    """MiB at the peak of a process that evaluates the case once.

    To be called before this process grows: Linux counts the memory of a parent at the time of the
    fork into the peak of its child.
    """
    sizes = [f"--{field}={value}" for field, value in dataclasses.asdict(case).items()]
    command = [sys.executable, __file__, "--memory", "--case=imagenet100", *sizes]
    command += [f"--bits={options.bits}", f"--seed={options.seed}"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_own_peak(case, options):
    arrays = make_codes(case, options.bits, options.seed)
    evaluate(*arrays, bits=options.bits, cutoff=case.cutoff)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak / (2**20 if sys.platform == "darwin" else 2**10))


def parse(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--case", choices=CASES, action="append", help="which sizes; all when left out"
    )
    parser.add_argument("--queries", type=int, metavar="Q", help="another number of queries")
    parser.add_argument("--database", type=int, metavar="N", help="another size of the database")
    parser.add_argument("--classes", type=int, metavar="C", help="another number of classes")
    parser.add_argument("--cutoff", type=int, metavar="R", help="another cut-off")
    parser.add_argument("--bits", type=int, default=64, metavar="K", help="bits of a code (64)")
    parser.add_argument(
        "--sample", type=int, default=100, help="queries of the usual evaluation (100)"
    )
    parser.add_argument(
        "--labels",
        choices=("ids", "one-hot"),
        default="ids",
        help="how the usual evaluation compares labels: by class id, or by inner products of "
        "one-hot rows, which is slower and the more usual (ids)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of both sides, in turn (3)")
    parser.add_argument("--seed", type=int, default=0, help="of the codes (0)")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv=None):
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
