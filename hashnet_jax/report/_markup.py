"""Escapes text for HTML, and fills in page templates. No other module escapes text."""

import itertools
import re
import string
from collections.abc import Mapping
from html import escape
from pathlib import Path

from hashnet_jax.data.pictures import printable
from hashnet_jax.report._thumbnails import Thumbnail

ASSETS = Path(__file__).parent / "assets"

# Where a long name may break: after separators, and after every eight digits of a hash.
_BREAKS = re.compile(r"[/\\_]+(?=.)|[.,;:-]+(?=[^\W\d])|[0-9a-f]{8}(?=[0-9a-f]{8})")


def plain_text(name: str) -> str:
    """Replaces bytes in a name that are not valid UTF-8, so the name can be encoded."""
    return printable(name)


def text(name: str) -> str:
    """Escapes a name for use as HTML text or an attribute value.

    Examples:
      >>> text('<b>bold & "brave"</b>')
      '&lt;b&gt;bold &amp; &quot;brave&quot;&lt;/b&gt;'
    """
    return escape(plain_text(name))


def breakable(name: str) -> str:
    """Like :func:`text`, but lets lines break after separators, never inside a word.

    Examples:
      >>> breakable("train/cat_1.jpg")
      'train/<wbr>cat_<wbr>1.<wbr>jpg'
      >>> breakable("a&b")
      'a&amp;b'
    """
    name = plain_text(name)
    ends = [0, *(found.end() for found in _BREAKS.finditer(name)), len(name)]
    return "<wbr>".join(escape(name[a:b]) for a, b in itertools.pairwise(ends) if a < b)


def image(thumbnail: Thumbnail, alt: str) -> str:
    """An ``<img>`` element that embeds the thumbnail."""
    kind = ' class="pixelated"' if thumbnail.pixelated else ""
    return (
        f'<img alt="{text(alt)}"{kind} src="{thumbnail.uri}" width="{thumbnail.width}" '
        f'height="{thumbnail.height}">'
    )


def render(template: str, parts: Mapping[str, str]) -> str:
    """Fills in a template from `assets/` with HTML parts, keyed by placeholder."""
    return string.Template(asset(template)).substitute(parts)


def asset(name: str) -> str:
    """Reads a file from `assets/`."""
    return (ASSETS / name).read_text(encoding="utf-8")
