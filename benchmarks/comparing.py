"""Tables on the terminal, and several result files side by side with a plot."""

import json
import pathlib


def table(rows):
    """Rows of one run as text: rate, time, spread, compile time, FLOP/s, share of peak, memory."""
    head = ("by", "rate", "median s", "spread", "compile s", "GFLOP/s", "of peak", "MiB", "note")
    lines, case = [], None
    for row in rows:
        if case != (row.suite, row.case):
            case = row.suite, row.case
            lines += [(f"{row.suite}: {row.case}",), head]
        lines.append(_cells(row))
    widths = [max(len(line[i]) for line in lines if len(line) > 1) for i in range(len(head))]
    return "\n".join(
        line[0]
        if len(line) == 1
        else "  " + "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row):
    def shown(value, form):
        return "" if value is None else format(value, form)

    if not row.seconds:
        return (row.by, *[""] * 7, row.note)
    return (
        row.by,
        f"{row.items / row.median:.4g} {row.unit}/s",
        f"{row.median:.4g}",
        f"{row.spread:.0%}",
        shown(row.compile_seconds, ".2f"),
        shown(row.flops and row.flops / row.median / 1e9, ".1f"),
        shown(row.share_of_peak, ".0%"),
        shown(row.memory, ".0f"),
        row.note,
    )


def compare(files, plot):
    """Prints the rates in JSON files of ``run.py`` side by side, and draws them to ``plot``."""
    names = [pathlib.Path(file).stem for file in files]
    rates = {}
    for name, file in zip(names, files, strict=True):
        content = json.loads(pathlib.Path(file).read_text())
        machine = content["environment"]
        print(f"{name}: {machine['device']}, jax {machine['jax']}, commit {machine['commit']}")
        for row in content["rows"]:
            if row["rate"]:
                label = f"{row['suite']}: {row['case']}, {row['by']} ({row['unit']}/s)"
                rates.setdefault(label, {})[name] = row["rate"]
    width = max(map(len, rates), default=0)
    print(" " * width, *(f"{name:>14}" for name in names))
    for label, by_file in rates.items():
        cells = (f"{by_file[name]:14.4g}" if name in by_file else f"{'':14}" for name in names)
        print(label.ljust(width), *cells)
    _plot(rates, names, plot)
    print(f"plot: {plot}")


def _plot(rates, names, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    height = 1 + 0.22 * max(1, len(rates)) * (len(names) + 1)
    figure, axes = pyplot.subplots(figsize=(10, height), layout="constrained")
    for i, name in enumerate(names):
        places = [row + 0.8 * i / len(names) for row in range(len(rates))]
        axes.barh(
            places,
            [by_file.get(name, float("nan")) for by_file in rates.values()],
            height=0.8 / len(names),
            label=name,
        )
    axes.set_yticks(range(len(rates)), list(rates), fontsize=6)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("items a second")
    axes.legend()
    figure.savefig(path)
    pyplot.close(figure)
