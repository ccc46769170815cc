"""Formats the protocol card, or individual sections of it, as text."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from hashnet_jax.distributed.printing import printable
from hashnet_jax.report._card import Card
from hashnet_jax.report._result_file import UNVERIFIED

Rows = list[tuple[str, str]]
PARTS = {
    "train": "Training images",
    "query": "Queries",
    "database": "Database",
    "validation": "Validation images",
}

_VERIFIED = "the SHA-256 of each file matches the one in result.json"


def card_sections(card: Card) -> list[tuple[str, Rows]]:
    """Formats each section of the card as rows of text.

    Args:
      card: the card, from :func:`hashnet_jax.report.protocol_card`.

    Returns:
      A list with ``(heading, [(term, description), ...])`` for each section.
    """
    return [
        ("Data", _data_rows(card["data"])),
        ("Retrieval", _retrieval_rows(card["retrieval"], card["data"])),
        ("Training", _training_rows(card["training"])),
        ("Codes", _codes_rows(card["codes"])),
        ("Provenance", _provenance_rows(card["provenance"])),
    ]


def card_text(card: Card) -> str:
    """Formats the card as plain text for a terminal, at most 80 columns wide except for hashes."""
    lines = [card["retrieval"]["summary"], *sections_text(card_sections(card))]
    return "\n".join(map(printable, lines))


def sections_text(sections: Sequence[tuple[str, Rows]]) -> list[str]:
    """Formats sections for a terminal, at most 80 columns wide except for long words."""
    lines = []
    for heading, rows in sections:
        lines += ["", heading.upper()]
        for term, description in rows:
            wrapped = textwrap.wrap(description, 46, break_long_words=False)
            for shown, part in itertools.zip_longest([term], wrapped, fillvalue=""):
                lines.append(f"  {shown:<31} {part}")
    return lines


def describe_convention(retrieval: Mapping[str, Any]) -> tuple[str, str]:
    """Describes the AP divisor and the treatment of queries without a hit.

    Examples:
      >>> describe_convention({"divisor": "hits", "no_hit": "zero"})
      ('the hits within R', 'counted as 0')
    """
    by = {"hits": "the hits within R", "min": "min(R, relevant)", "cutoff": "R"}
    no_hit = {"zero": "counted as 0", "drop": "excluded from the mean"}
    return by[retrieval["divisor"]], no_hit[retrieval["no_hit"]]


def map_name(retrieval: Mapping[str, Any]) -> str:
    """Returns the display name of MAP, including the cut-off.

    Examples:
      >>> map_name({"cutoff": 1000}), map_name({"cutoff": None})
      ('MAP@1000', 'MAP@all')
    """
    return f"MAP@{retrieval['cutoff'] or 'all'}"


def alarm_line(codes: Mapping[str, Any]) -> str:
    """Formats the collapse alarms in a card's code statistics as one line.

    Examples:
      >>> alarm_line({"alarms": []})
      'none'
      >>> alarm_line({"alarms": ["fewer distinct codes (1) than classes (3)"]})
      'COLLAPSED: fewer distinct codes (1) than classes (3)'
    """
    return "COLLAPSED: " + "; ".join(codes["alarms"]) if codes["alarms"] else "none"


def _data_rows(data: Mapping[str, Any]) -> Rows:
    several = "one or more per image" if data["multi_label"] else "one per image"
    unseen = "; none of them was seen in training" if data["unseen_classes"] else ""
    return [
        ("Data set", data["dataset"]),
        *((PARTS.get(name) or name, f"{size:,} images") for name, size in data["sizes"].items()),
        ("Labels", f"{data['classes']} classes, {several}{unseen}"),
        ("Seeds", f"{data['seed']} (weights and data order), {data['split_seed']} (split)"),
        *(
            (f"Overlap, {pair.replace('/', ' in ')}", _overlap(counts))
            for pair, counts in data["overlaps"].items()
        ),
        *(("Note", note) for note in data["notes"]),
    ]


def _overlap(counts: Mapping[str, Any]) -> str:
    """Describes in one line how many images two parts of the split share."""
    by_index = f"{counts['same_image']:,} with the same index"
    if counts["same_picture"] is None:
        return f"{by_index}; copies under other names were not checked"
    return f"{by_index}; {counts['same_picture']:,} copies under other names"


def _retrieval_rows(retrieval: Mapping[str, Any], data: Mapping[str, Any]) -> Rows:
    by, no_hit = describe_convention(retrieval)
    missed = f"{retrieval['queries_without_hit']:.6g} of {retrieval['queries']:,}"
    size = data["sizes"]["database"]
    cutoff = f"{retrieval['cutoff']:,} results" if retrieval["cutoff"] else f"all {size:,} images"
    ball = (
        "precision {precision_within_radius:.4f}, recall {recall_within_radius:.4f}, averaged over "
        "queries; {queries_with_empty_ball:,} of {queries:,} retrieve nothing and count as 0"
    )
    return [
        (
            map_name(retrieval),
            f"{retrieval['expected']:.4f}, averaged over all tie-breaking orders",
        ),
        ("Worst and best tie order", "{worst:.4f} and {best:.4f}".format(**retrieval)),
        ("Cut-off R", cutoff),
        ("Average precision", f"divided by {by}"),
        ("Queries without a hit", f"{missed}, {no_hit}"),
        (f"Within Hamming radius {retrieval['radius']}", ball.format(**retrieval)),
        *_metric_rows(retrieval),
    ]


def _metric_rows(retrieval: Mapping[str, Any]) -> Rows:
    """Returns a row for each registered metric that the Hamming radius row does not show."""
    known = {f"{name}_within_radius_{retrieval['radius']}" for name in ("precision", "recall")}
    return [
        (name.replace("_", " ").capitalize(), f"{value:.4f}")
        for name, value in retrieval["metrics"].items()
        if name not in known
    ]


def _training_rows(training: Mapping[str, Any]) -> Rows:
    side = training["image_size"]
    return [
        ("Recipe", training["recipe"]),
        ("Variant", training["variant"]),
        *_learning_rate_rows(training["learning_rate"]),
        ("Backbone", _backbone(training)),
        ("Image size", f"{side} x {side} pixels"),
        ("Augmentation", training["augmentation"]),
        ("Steps", "{step:,} of {total_steps:,}".format(**training)),
        *_validation_rows(training["validation"]),
        ("Batch", f"{training['batch_size']:,} images per step"),
        ("Final β", f"{training['beta']:.4g}"),
        ("Final quantization gap", f"{training['quantization_gap']:.4f}"),
        ("Final loss, relaxed codes", f"{training['loss']:.4f}, weighted mean over pairs"),
        ("Final loss, binary codes", f"{training['binary_loss']:.4f}, weighted mean over pairs"),
    ]


def _learning_rate_rows(text: str | None) -> Rows:
    return [] if text is None else [("Learning rate", text)]


def _validation_rows(validation: Mapping[str, Any] | None) -> Rows:
    if validation is None:
        return []
    chosen = "selected by" if validation["select"] == "best" else "not selected by"
    queries, database = validation["queries"], validation["database"]
    return [
        (
            "Checkpoint",
            f"{chosen} validation {map_name(validation)} ({queries:,} images against {database:,} "
            "training images)",
        )
    ]


def _backbone(training: Mapping[str, Any]) -> str:
    weights = training["pretrained_sha256"]
    start = f"weights {weights[:8]}…" if weights else "random weights"
    if training["frozen"]:
        return f"{training['backbone']}, {start}, frozen"
    return f"{training['backbone']}, from {start}, {training['backbone_mode']} mode"


def _codes_rows(codes: Mapping[str, Any]) -> Rows:
    return [
        ("Bits K", str(codes["bits"])),
        ("Distinct codes", "{distinct:,} of {codes:,}".format(**codes)),
        (
            "Bit balance",
            "the fraction of ones deviates from 0.5 by {mean_imbalance:.3f} on average and "
            "by at most {most_imbalanced:.3f}".format(**codes),
        ),
        ("Constant bits", f"{codes['constant_bits']} of {codes['bits']}"),
        ("Collapse alarm", alarm_line(codes)),
    ]


def _provenance_rows(origin: Mapping[str, Any]) -> Rows:
    return [
        ("Run", origin["run"]),
        ("SHA-256 of model.npz", origin["model_sha256"]),
        ("Versions", ", ".join(map(" ".join, origin["versions"].items()))),
        ("Devices", origin["devices"]),
        ("Time", f"{origin['seconds']:,.0f} s"),
        ("Files", _VERIFIED if origin["is_verified"] else UNVERIFIED),
    ]
