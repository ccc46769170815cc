"""Compares our MAP evaluation with the usual argsort for each query; see map_speed.py."""

import argparse
from collections.abc import Iterator

from benchmarks.map_speed import CASES, Case, UsualEvaluation, check_in_band, make_codes
from benchmarks.measuring import Row, measure
from hashnet_jax.metrics import evaluate


def run(options: argparse.Namespace) -> Iterator[Row]:
    case = CASES["imagenet100"]
    if options.small:
        case = Case(queries=50, database=2_000, classes=10, cutoff=100)
    arrays = make_codes(case, options.bits, 0)
    name = f"{case.queries} queries, {case.database} codes, {options.bits} bits, @{case.cutoff}"
    rows = [Row("map", name, "hashnet_jax", items=case.queries, unit="queries")]
    functions = [lambda: evaluate(*arrays, bits=options.bits, cutoff=case.cutoff)]
    if options.peers != "none":
        usual = UsualEvaluation(case, arrays, options.bits, min(50, case.queries), "ids")
        check_in_band(usual(), functions[0]().counts, usual.sample, case.cutoff)
        rows.append(Row("map", name, "NumPy argsort", items=len(usual.queries), unit="queries"))
        rows[-1].note = "on a sample of the queries, with ties in arbitrary order"
        functions.append(usual)
    for row in rows:
        row.compile_seconds = 0.0
    yield from measure(list(zip(rows, functions, strict=True)), options.repeats)
