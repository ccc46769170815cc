"""The table and the figure of a study."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.comparison import _rates
from experiments.comparison._methods import COSINE, method
from experiments.comparison._rates import Choice
from experiments.comparison._runs import Result
from experiments.comparison._study import Study
from experiments.table import markdown
from hashnet_jax.distributed.files import write_whole

# The description of each ranking.
RANKINGS = {
    "hamming": "ranked by Hamming distance",
    "asymmetric": "ranked by <query logits, codes>",
}


class Comparison(NamedTuple):
    """The results of a study.

    Attributes:
      study: the data and the settings that all methods share.
      bits: code lengths K.
      seeds: seeds of the runs.
      tuning_bits: code length at which the learning rates were chosen.
      choices: the :class:`Choice` of a learning rate for each learned method.
      results: the results of all seeds, for each (method, bits).
    """

    study: Study
    bits: Sequence[int]
    seeds: Sequence[int]
    tuning_bits: int
    choices: Mapping[str, Choice]
    results: Mapping[tuple[str, int], Sequence[Result]]

    def values(self, ranking: str) -> dict[tuple[str, int], list[float]]:
        """Returns the MAPs for one ranking, one per seed; the cosine has the same MAP in both."""
        field = {name: ranking for name, _ in self.results} | {COSINE: "cosine"}
        return {
            key: [getattr(result, field[key[0]]) for result in results]
            for key, results in self.results.items()
        }


def write(comparison: Comparison, folder: Path) -> str:
    """Writes `table.md` and `table.json`, and returns the text of the table."""
    text = table(comparison)
    content = json.dumps(as_json(comparison), indent=2)
    for name, data in (("table.json", content), ("table.md", text)):
        write_whole(folder / name, lambda file, data=data: file.write(data.encode()))
    return text


def table(comparison: Comparison) -> str:
    """Returns a Markdown table for each ranking, followed by a description of the tuning."""
    cutoff = comparison.study.cutoff or "all"
    tables = [
        markdown(
            comparison.values(ranking),
            dataset=comparison.study.title,
            bits=comparison.bits,
            seeds=comparison.seeds,
            convention=f"MAP@{cutoff}, expected over ties, {description}",
        )
        for ranking, description in RANKINGS.items()
    ]
    return "\n".join([*tables, *_protocol(comparison)]) + "\n"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Returns the results, and everything they depend on, as JSON."""
    study = comparison.study
    scores = {ranking: comparison.values(ranking) for ranking in RANKINGS}
    rows = [
        {"method": name, "bits": bits} | {each: scores[each][name, bits] for each in RANKINGS}
        for name, bits in comparison.results
    ]
    choices = {
        name: {"rate": choice.rate, "rates": choice.rates, "validation_map": choice.maps}
        for name, choice in comparison.choices.items()
    }
    return {
        "title": study.title,
        "content": study.content,
        "cutoff": study.cutoff,
        "steps": study.spec.total_steps,
        "batch_size": study.batch_size,
        "sizes": study.dataset.split.sizes(),
        "seeds": list(comparison.seeds),
        "tuning": {"bits": comparison.tuning_bits, "seeds": _rates.SEEDS, "methods": choices},
        "results": rows,
    }


def _protocol(comparison: Comparison) -> Iterator[str]:
    study = comparison.study
    parts = study.validation_parts(_rates.SEEDS[0])
    sizes = ", ".join(f"{count:,} {name}" for name, count in study.dataset.split.sizes().items())
    yield (
        f"Images: {sizes}. Every learned method trains one linear layer on the same features, with "
        f"the same {study.spec.total_steps:,} batches of {study.batch_size} images per seed, the "
        "same initial layer (except for hashnet-unseen) and Nesterov SGD; the loss, weight decay "
        "and learning rate differ."
    )
    if not comparison.choices:
        return
    held_out = "validation images, with the {:,} images trained on as the database"
    if study.has_unseen_classes:
        held_out = (
            "images of training classes, held out separately for each seed, with {:,} other images "
            "of these classes as the database"
        )
    yield (
        f"Learning rates were chosen at {comparison.tuning_bits} bits by the mean MAP of "
        f"{len(_rates.SEEDS)} seeds on {len(parts.query):,} "
        f"{held_out.format(len(parts.database))}; no query was used. They are the same for all "
        "code lengths. The unit of the rates is 1 / mean squared norm of the layer's inputs."
    )
    for name, choice in comparison.choices.items():
        decay = method(name, study.spec, comparison.tuning_bits).spec.weight_decay
        tried = ", ".join(
            f"{rate:g} ({value:.4f})" for rate, value in zip(choice.rates, choice.maps, strict=True)
        )
        edge = ", at the edge of the grid" if choice.is_at_edge else ""
        yield (
            f"- {name}: {len(choice.rates)} settings tried: {tried}; chosen {choice.rate:g}{edge}; "
            f"weight decay {decay:g}"
        )
    if diverged := list(_diverged(comparison)):
        yield f"Training diverged, and counts as 0: {', '.join(diverged)}."


def _diverged(comparison: Comparison) -> Iterator[str]:
    for (name, bits), results in comparison.results.items():
        for seed, result in zip(comparison.seeds, results, strict=False):
            if name in comparison.choices and result.hamming == 0:
                yield f"{name} at {bits} bits with seed {seed}"


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean and the standard deviation, which is 0 for a single value."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
