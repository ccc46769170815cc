"""Formats the results of a study as a Markdown table, together with the paper's figures."""

import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence

from experiments import paper

# A list of MAPs, one per seed, keyed by (method, bits).
Results = Mapping[tuple[str, int], Sequence[float]]


def markdown(
    results: Results,
    *,
    dataset: str,
    bits: Sequence[int],
    seeds: Sequence[int],
    convention: str,
    runnable: Collection[str] = (),
) -> str:
    """Formats a table with a row per method and a column per code length.

    The paper's figures are shown below ours.

    Args:
      results: MAPs of all methods and code lengths.
      dataset: name of the data set.
      bits: code lengths, one per column.
      seeds: seeds of the runs.
      convention: description of the MAP convention.
      runnable: methods that the study could have run. Those without results are omitted; all other
        methods from the paper are included.

    Returns:
      The Markdown text, ending with a newline.
    """
    methods = list(dict.fromkeys(method for method, _ in results))
    others = [name for name in paper.FIGURES.get(dataset, {}) if name not in {*methods, *runnable}]
    lines = [
        f"{dataset}: {convention}. Mean over {len(seeds)} seeds ({', '.join(map(str, seeds))}) "
        "± standard deviation.",
        "",
        _row("", [f"{k} bits" for k in bits]),
        "|---|" + "---|" * len(bits),
    ]
    for method in methods:
        lines.append(_row(method, [_cell(results.get((method, k), ())) for k in bits]))
        lines += _paper_row(dataset, method, bits)
    for method in others:
        lines += _paper_row(dataset, method, bits)
    return "\n".join([*lines, *_footnotes(dataset)]) + "\n"


def _paper_row(dataset: str, method: str, bits: Sequence[int]) -> list[str]:
    if method not in paper.FIGURES.get(dataset, {}):
        return []
    return [_row(f"{method}, paper", [paper.figure(dataset, method, k) for k in bits])]


def _footnotes(dataset: str) -> Iterator[str]:
    if dataset in paper.FIGURES:
        yield ""
        yield (
            "The paper's figures are quoted from memory, except those marked (read), which were "
            "confirmed by a second source."
        )
    if dataset in paper.NOTES:
        yield paper.NOTES[dataset]


def _row(head: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([head, *cells])} |"


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"
