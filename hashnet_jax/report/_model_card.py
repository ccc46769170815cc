"""Formats the protocol card of a run as the model card of its network."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from hashnet_jax.distributed.printing import printable
from hashnet_jax.report._card import Card
from hashnet_jax.report._card_text import card_sections, map_name

# All that Markdown or HTML may interpret.
_MARKUP = re.compile(r"[\\`*_\[\]<>|~#&!$@]")

_INTRODUCTION = """This network hashes images: it maps an image to a binary code of {bits} bits, and
similar images to codes with a small Hamming distance. It was trained with
[HashNet](https://arxiv.org/abs/1702.00758) in `hashnet_jax`."""

_USE = """```python
import hashnet_jax as hj

params = hj.load({address})  # pip install 'hashnet_jax[hub]'
codes = hj.encode(params, images)  # images uint8 [B, H, W, 3], codes int8 [B, {bits}]
```"""


def model_card(card: Card, *, sha256: str, address: str, license_id: str | None = None) -> str:
    """Formats the protocol card of a run as the `README.md` of its network.

    Args:
      card: the card, from :func:`hashnet_jax.report.protocol_card`.
      sha256: the SHA-256 of `model.safetensors`.
      address: what to pass to ``hashnet_jax.load``.
      license_id: the Hub's identifier of a license, e.g. ``"mit"``; None to state no license.

    Returns:
      The text. Names and notes from the run are escaped.
    """
    bits = card["codes"]["bits"]
    lines = [
        "---",
        *_header(card, license_id),
        "---",
        "",
        f"# {_plain(card['provenance']['run'])}",
        "",
        _INTRODUCTION.format(bits=bits),
        "",
        f"**{_plain(card['retrieval']['summary'])}**",
        "",
        "## Use",
        "",
        _USE.format(address=json.dumps(address), bits=bits),
        "",
        f"The SHA-256 of `model.safetensors` is `{sha256}`. `config.json` records it, and",
        "`hashnet_jax.load` checks it.",
    ]
    for heading, rows in card_sections(card):
        lines += ["", f"## {heading}", "", "| | |", "|---|---|"]
        lines += [f"| {_plain(term)} | {_plain(text)} |" for term, text in rows]
    return "\n".join(lines) + "\n"


def _header(card: Card, license_id: str | None) -> Iterator[str]:
    """Yields the lines of the YAML header; each value is JSON, which is YAML too."""
    values: dict[str, Any] = {
        "library_name": "hashnet_jax",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["hashing", "image-retrieval", "hamming-distance", card["training"]["backbone"]],
    }
    if license_id is not None:
        values["license"] = license_id
    value = card["retrieval"]["expected"]
    if math.isfinite(value):
        dataset = card["data"]["dataset"]
        metric = {"type": "map", "name": map_name(card["retrieval"]), "value": value}
        result = {
            "task": {"type": "image-retrieval"},
            "dataset": {"type": dataset, "name": dataset},
            "metrics": [metric],
        }
        values["model-index"] = [{"name": card["provenance"]["run"], "results": [result]}]
    for name, value in values.items():
        yield f"{name}: {json.dumps(value)}"


def _plain(text: str) -> str:
    """Escapes text, so that Markdown shows it as it is, in one line.

    Examples:
      >>> _plain("a|b <i>")
      'a&#124;b &#60;i&#62;'
    """
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", printable(text))
