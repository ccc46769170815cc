"""MAP of packed codes with its tie band, against an argsort of each query (see map_speed.py)."""

from map_speed import CASES, Case, Usual, check_in_band, make_codes
from measuring import Row, measure

from hashnet_jax.metrics import evaluate


def run(options):
    case = CASES["imagenet100"]
    if options.small:
        case = Case(queries=50, database=2_000, classes=10, cutoff=100)
    arrays = make_codes(case, options.bits, 0)
    name = f"{case.queries} queries, {case.database} codes, {options.bits} bits, @{case.cutoff}"
    rows = [Row("map", name, "hashnet_jax", items=case.queries, unit="queries")]
    functions = [lambda: evaluate(*arrays, bits=options.bits, cutoff=case.cutoff)]
    if options.peers != "none":
        usual = Usual(case, arrays, options.bits, min(50, case.queries), "ids")
        items = len(usual.queries)
        rows.append(Row("map", name, "NumPy argsort", items=items, unit="queries"))
        rows[-1].note = "a sample of the queries; one order of the ties"
        check_in_band(usual(), functions[0]().counts, usual.sample, case.cutoff)
        functions.append(usual)
    for row in rows:
        row.compile_seconds = 0.0
    yield from measure(list(zip(rows, functions, strict=True)), options.repeats)
