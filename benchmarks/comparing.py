"""Formats results as tables, and compares result files side by side and in a plot."""

import pathlib
from collections.abc import Sequence
from typing import Any

from benchmarks.measuring import Row
from hashnet_jax.distributed.json_values import each, number, optional, record, text
from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.reading import damage_named, read_json
from hashnet_jax.report._figures import literal

HEAD = (
    "contender",
    "rate",
    "ratio",
    "median s",
    "spread",
    "busy",
    "compile s",
    "GFLOP/s",
    "of peak",
    "MiB",
    "note",
)

# On a machine that is busier than this, contenders that take turns may differ by chance alone.
MAX_BUSY = 0.05
BUSY_WARNING = (
    f"? During this ratio's measurement, more than {MAX_BUSY:.0%} of the CPU time went to other "
    "processes or virtual machines. Measure again on an idle machine."
)

_check_results = record(
    {
        "environment": record(dict.fromkeys(("device", "jax", "commit"), text)),
        "rows": each(
            record(
                {
                    **dict.fromkeys(("suite", "case", "by", "unit"), text),
                    "rate": optional(number),
                }
            )
        ),
    }
)


def table(rows: Sequence[Row]) -> str:
    """Formats rows as a text table with one section per case."""
    lines: list[tuple[str, ...]] = []
    case = None
    for row in rows:
        if case != (row.suite, row.case):
            case = row.suite, row.case
            lines += [(f"{row.suite}: {row.case}",), HEAD]
        lines.append(_cells(row, [other for other in rows if (other.suite, other.case) == case]))
    widths = [max(len(line[i]) for line in lines if len(line) > 1) for i in range(len(HEAD))]
    printed = [line[0] if len(line) == 1 else _aligned(line, widths) for line in lines]
    if any("?" in line[2] for line in lines if len(line) > 1):
        printed.append(BUSY_WARNING)
    return "\n".join(printed)


def compare(files: Sequence[str], plot: str) -> None:
    """Prints the rates from JSON files written by `run.py` side by side, and plots them."""
    names = [pathlib.Path(file).stem for file in files]
    rates: dict[str, dict[str, float]] = {}
    for name, file in zip(names, files, strict=True):
        content = _read(file)
        machine = content["environment"]
        where = f"{machine['device']}, jax {machine['jax']}, commit {machine['commit']}"
        print(printable(f"{name}: {where}"))
        for row in content["rows"]:
            if row["rate"]:
                label = printable(f"{row['suite']}: {row['case']}, {row['by']} ({row['unit']}/s)")
                rates.setdefault(label, {})[name] = row["rate"]
    _print_rates(rates, names)
    _plot(rates, names, plot)
    print(f"plot: {plot}")


def _read(file: str) -> dict[str, Any]:
    what, remedy = "the results of a benchmark", "run the benchmark again with --json"
    content = read_json(file, what, remedy)
    with damage_named(file, what, remedy):
        _check_results(content)
    return content


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
    return "  " + "  ".join(cells).rstrip()


def _cells(row: Row, contenders: Sequence[Row]) -> tuple[str, ...]:
    def text(value, form):
        return "" if value is None else format(value, form)

    if not row.seconds:
        return (row.by, *[""] * (len(HEAD) - 2), row.note)
    return (
        row.by,
        f"{row.items / row.median:.4g} {row.unit}/s",
        _ratio(row, contenders),
        f"{row.median:.4g}",
        f"{row.spread:.0%}",
        text(row.busy, ".0%"),
        text(row.compile_seconds, ".2f"),
        text(row.flops and row.flops / row.median / 1e9, ".1f"),
        text(row.share_of_peak, ".0%"),
        text(row.memory, ".0f"),
        row.note,
    )


def _ratio(row: Row, contenders: Sequence[Row]) -> str:
    """Formats the rate of this package relative to the fastest peer, if there is one."""
    peers = [
        other for other in contenders if other.seconds and not other.by.startswith("hashnet_jax")
    ]
    if not peers or not row.by.startswith("hashnet_jax"):
        return ""
    best = max(peers, key=lambda peer: peer.items / peer.median)
    ratio = (row.items / row.median) / (best.items / best.median)
    busy = max(row.busy or 0.0, best.busy or 0.0)
    return f"{ratio:.2f}{'?' if busy > MAX_BUSY else ''}"


def _print_rates(rates: dict[str, dict[str, float]], names: Sequence[str]) -> None:
    width = max(map(len, rates), default=0)
    print(" " * width, *(f"{name:>14}" for name in names))
    for label, by_file in rates.items():
        cells = (f"{by_file[name]:14.4g}" if name in by_file else f"{'':14}" for name in names)
        print(label.ljust(width), *cells)


def _plot(rates: dict[str, dict[str, float]], names: Sequence[str], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    height = 1 + 0.22 * max(1, len(rates)) * (len(names) + 1)
    figure, axes = pyplot.subplots(figsize=(10, height), layout="constrained")
    bars = []
    for i, name in enumerate(names):
        positions = [row + 0.8 * i / len(names) for row in range(len(rates))]
        bar = axes.barh(
            positions,
            [by_file.get(name, float("nan")) for by_file in rates.values()],
            height=0.8 / len(names),
        )
        bars.append(bar)
    axes.set_yticks(range(len(rates)), list(map(literal, rates)), fontsize=6)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("items per second")
    axes.legend(bars, list(map(literal, names)))
    figure.savefig(path)
    pyplot.close(figure)
