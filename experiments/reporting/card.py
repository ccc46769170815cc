"""The protocol card: all that must be known of a MAP before it is compared with another."""

import hashlib
import itertools
import textwrap

import numpy as np

from hashnet_jax.curves import within_radius

# Radius of the Hamming ball, by custom of the field: a hash table of 48 bits is read at 1 + 48 +
# 1,128 places for it.
RADIUS = 2


def protocol_card(run):
    """The protocol card of a run, as JSON values.

    Args:
      run: :class:`reporting.finished_run.FinishedRun`.

    Returns:
      A dict of five parts: ``data``, ``retrieval``, ``training``, ``codes`` and ``provenance``.
    """
    config, result, end = run.config, run.result, run.end
    labels = run.database.labels
    ball = within_radius(run.evaluation.counts, radius=min(RADIUS, run.bits))
    ones = np.asarray(result["codes"]["ones"])
    return {
        "data": {
            "dataset": config["dataset"],
            "classes": labels.shape[1] if run.multi_label else len(np.unique(labels)),
            "multi_label": run.multi_label,
            "sizes": result["sizes"],
            "seed": config["seed"],
            "split_seed": config["data"]["split_seed"],
            "overlaps": result["overlaps"],
            "notes": result["notes"],
        },
        "retrieval": {
            **result["map"],
            "summary": result["summary"],
            "radius": min(RADIUS, run.bits),
            "precision_within_radius": ball.precision,
            "recall_within_radius": ball.recall,
            "queries_with_empty_ball": ball.empty_queries,
        },
        "training": {
            "variant": result["variant"],
            "backbone": config["model"]["backbone"],
            # Runs of earlier versions do not say; they fine-tuned, in training mode.
            "frozen": config.get("freeze_backbone", False),
            "backbone_mode": config["train"].get("backbone_mode", "train"),
            "pretrained_sha256": config.get("pretrained_sha256"),
            "image_size": config["model"]["image_size"],
            "augmentation": config["augmentation"],
            "batch_size": config["batch_size"],
            "step": result["step"],
            "total_steps": config["train"]["total_steps"],
            **{name: end[name] for name in ("beta", "quantization_gap", "loss", "binary_loss")},
        },
        "codes": {
            "bits": run.bits,
            **{
                name: result["codes"][name]
                for name in ("codes", "distinct", "constant_bits", "alarms")
            },
            "mean_imbalance": float(np.abs(ones - 0.5).mean()),
            "most_imbalanced": float(np.abs(ones - 0.5).max()),
        },
        "provenance": {
            "model_sha256": _sha256(run.path / "model.npz"),
            **{name: result[name] for name in ("versions", "devices", "seconds")},
        },
    }


def card_sections(card):
    """The card in words: a list of ``(heading, [(term, description), ...])``."""
    data, retrieval, training, codes, origin = card.values()
    by, no_hit = describe_convention(retrieval)
    missed = f"{retrieval['queries_without_hit']:.6g} of {retrieval['queries']:,}"
    return [
        (
            "Data",
            [
                ("Data set", data["dataset"]),
                *((f"Images, {name}", f"{size:,}") for name, size in data["sizes"].items()),
                ("Labels", _labels(data)),
                ("Seeds", f"{data['seed']} (weights, order), {data['split_seed']} (split)"),
                *(
                    (f"Overlap, {pair.replace('/', ' in ')}", _overlap(counts))
                    for pair, counts in data["overlaps"].items()
                ),
                *(("Note", note) for note in data["notes"]),
            ],
        ),
        (
            "Retrieval",
            [
                (f"MAP@{retrieval['cutoff'] or 'all'}", f"{retrieval['expected']:.4f}"),
                ("Tie band", "worst {worst:.4f}, best {best:.4f}".format(**retrieval)),
                ("Cut-off R", _cutoff(retrieval, data)),
                ("Average precision", f"divided by {by}"),
                ("Queries without a hit", f"{missed}, {no_hit}"),
                (
                    f"Within Hamming radius {retrieval['radius']}",
                    "precision {precision_within_radius:.4f}, recall {recall_within_radius:.4f}; "
                    "{queries_with_empty_ball:,} queries find nothing and count 0".format(
                        **retrieval
                    ),
                ),
            ],
        ),
        (
            "Training",
            [
                ("Variant", training["variant"]),
                ("Backbone", _backbone(training)),
                ("Images", "{image_size} pixels; augmentation {augmentation}".format(**training)),
                (
                    "Steps",
                    "{step:,} of {total_steps:,}, of {batch_size:,} images".format(**training),
                ),
                ("β at the end", f"{training['beta']:.4g}"),
                ("Quantization gap at the end", f"{training['quantization_gap']:.4f}"),
                ("Loss at the end, relaxed codes", f"{training['loss']:.4f}"),
                ("Loss at the end, binary codes", f"{training['binary_loss']:.4f}"),
            ],
        ),
        (
            "Codes",
            [
                ("Bits K", str(codes["bits"])),
                ("Distinct codes", "{distinct:,} of {codes:,}".format(**codes)),
                (
                    "Bit balance",
                    "share of ones off 0.5 by {mean_imbalance:.3f} on average, "
                    "{most_imbalanced:.3f} at most".format(**codes),
                ),
                ("Constant bits", f"{codes['constant_bits']} of {codes['bits']}"),
                ("Collapse alarm", alarm_line(codes)),
            ],
        ),
        (
            "Provenance",
            [
                ("SHA-256 of model.npz", origin["model_sha256"]),
                ("Versions", ", ".join(map(" ".join, origin["versions"].items()))),
                ("Devices", origin["devices"]),
                ("Time", f"{origin['seconds']:,.0f} s"),
            ],
        ),
    ]


def card_text(card):
    """The card as plain text, at most 80 columns wide but for the hash."""
    lines = [card["retrieval"]["summary"]]
    for heading, rows in card_sections(card):
        lines += ["", heading.upper()]
        for term, description in rows:
            wrapped = textwrap.wrap(description, 46, break_long_words=False)
            for shown, part in itertools.zip_longest([term], wrapped, fillvalue=""):
                lines.append(f"  {shown:<31} {part}")
    return "\n".join(lines)


def describe_convention(retrieval):
    """By what AP is divided, and what becomes of queries without a hit, in words.

    Examples:
      >>> describe_convention({"divisor": "hits", "no_hit": "zero"})
      ('the hits within R', 'counted 0')
    """
    by = {"hits": "the hits within R", "min": "min(R, relevant)", "cutoff": "R"}
    no_hit = {"zero": "counted 0", "drop": "left out of the mean"}
    return by[retrieval["divisor"]], no_hit[retrieval["no_hit"]]


def _backbone(training):
    weights = training["pretrained_sha256"]
    start = f"weights {weights[:8]}…" if weights else "random weights"
    if training["frozen"]:
        return f"{training['backbone']}, {start}, frozen"
    return f"{training['backbone']}, from {start}, {training['backbone_mode']} mode"


def alarm_line(codes):
    """One line on the collapse alarm of the card's ``codes``.

    Examples:
      >>> alarm_line({"alarms": []})
      'silent'
      >>> alarm_line({"alarms": ["1 distinct codes for 3 classes"]})
      'COLLAPSED: 1 distinct codes for 3 classes'
    """
    return "COLLAPSED: " + "; ".join(codes["alarms"]) if codes["alarms"] else "silent"


def _overlap(counts):
    """One line on the images and pictures that two parts of the split share."""
    by_index = f"{counts['same_image']:,} by index"
    if counts["same_picture"] is None:
        return f"{by_index}; copies under other names not looked for"
    return f"{by_index}; {counts['same_picture']:,} with a copy under another name"


def _labels(data):
    several = "one or more an image" if data["multi_label"] else "one an image"
    return f"{data['classes']} classes, {several}"


def _cutoff(retrieval, data):
    size = data["sizes"]["database"]
    return f"{retrieval['cutoff']:,}" if retrieval["cutoff"] else f"all {size:,} of the database"


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
