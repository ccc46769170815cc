"""Escapes text for HTML and fills in page templates. No other module escapes HTML."""

import itertools
import re
import string
import unicodedata
from collections.abc import Mapping
from html import escape
from pathlib import Path

from hashnet_jax.distributed.printing import printable
from hashnet_jax.report._thumbnails import Thumbnail

ASSETS = Path(__file__).parent / "assets"

# Where a long name may break: after separators, and after every eight digits of a hash.
_BREAKS = re.compile(r"[/\\_]+(?=.)|[.,;:-]+(?=[^\W\d])|[0-9a-f]{8}(?=[0-9a-f]{8})")


def plain_text(name: str) -> str:
    r"""Escapes unprintable characters in a name: control characters and invalid UTF-8.

    Characters that would reverse the text after them are escaped as well.

    Examples:
      >>> print(plain_text("photo\u202egpj.exe"))
      photo\u202egpj.exe
    """
    return printable(name)


def text(name: str) -> str:
    """Escapes a name for use as HTML text or an attribute value.

    Examples:
      >>> text('<b>bold & "brave"</b>')
      '&lt;b&gt;bold &amp; &quot;brave&quot;&lt;/b&gt;'
    """
    return escape(plain_text(name))


def breakable(name: str) -> str:
    """Like :func:`text`, but allows line breaks after separators (never inside a word).

    Names with right-to-left letters are isolated, so that they do not reorder the text around them.

    Examples:
      >>> breakable("train/cat_1.jpg")
      'train/<wbr>cat_<wbr>1.<wbr>jpg'
      >>> breakable("a&b")
      'a&amp;b'
    """
    name = plain_text(name)
    ends = [0, *(found.end() for found in _BREAKS.finditer(name)), len(name)]
    shown = "<wbr>".join(escape(name[a:b]) for a, b in itertools.pairwise(ends) if a < b)
    return f"<bdi>{shown}</bdi>" if any(map(_is_right_to_left, name)) else shown


def _is_right_to_left(character: str) -> bool:
    return unicodedata.bidirectional(character) in ("R", "AL", "AN")


def image(thumbnail: Thumbnail, alt: str) -> str:
    """Returns an ``<img>`` element that embeds a thumbnail."""
    kind = ' class="pixelated"' if thumbnail.pixelated else ""
    return (
        f'<img alt="{text(alt)}"{kind} src="{thumbnail.uri}" width="{thumbnail.width}" '
        f'height="{thumbnail.height}">'
    )


def render(template: str, parts: Mapping[str, str]) -> str:
    """Fills in a template from `assets/`; ``parts`` maps each placeholder to its HTML."""
    return string.Template(asset(template)).substitute(parts)


def asset(name: str) -> str:
    """Reads a file from `assets/`."""
    return (ASSETS / name).read_text(encoding="utf-8")
