"""Writes a page of duplicates: one self-contained HTML file with embedded pictures."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hashnet_jax.distributed.files import write_whole
from hashnet_jax.report._markup import asset, breakable, render, text
from hashnet_jax.report._search_page import picture

# A page with more pictures would take minutes to load.
MAX_PICTURES = 1000


class DuplicateTile(NamedTuple):
    """A picture on the page.

    Attributes:
      path: path to the file.
      distance: Hamming distance between the codes of this picture and the group's first picture.
      copies: 1-based index of the set of near copies that contains this picture, or None.
      pixels: number of bits in which the perceptual hashes of this picture and the set's first
        picture differ, or None.
      same_file: whether another file in the set has the same bytes.
      unreadable: why the file cannot be read, or None if it can be read.
    """

    path: str
    distance: int
    copies: int | None
    pixels: int | None
    same_file: bool
    unreadable: str | None


def write_duplicates_page(
    path: str | os.PathLike[str],
    groups: Sequence[Sequence[DuplicateTile]],
    *,
    searched: int,
    bits: int,
    radius: int,
    copy_bits: int,
) -> None:
    """Atomically writes a page that shows groups of pictures with similar codes.

    The page shows only complete groups, with about 1,000 pictures at most, and states how many
    groups are not shown.

    Args:
      path: file to write the page to.
      groups: the pictures in each group, with the pictures in a set of near copies next to each
        other.
      searched: number of pictures that were compared.
      bits: K, the number of bits per code.
      radius: R, the maximum distance between the codes of two linked pictures; a group contains
        all pictures that are connected by a chain of links.
      copy_bits: the maximum number of bits in which the perceptual hashes of two linked near
        copies differ.
    """
    shown = _shown(groups)
    left = len(groups) - len(shown)
    parts = {
        "css": asset("base.css") + asset("search.css") + asset("duplicates.css"),
        "heading": _count(len(groups), "group"),
        "pictures": f"{sum(map(len, groups)):,} of {searched:,}",
        "bits": str(bits),
        "radius": _bits(radius),
        "copy_bits": str(copy_bits),
        "contents": _contents(shown),
        "sections": "".join(_section(number, group) for number, group in enumerate(shown, 1)),
        "rest": f"<p>{_count(left, 'more group')} not shown.</p>" if left else "",
    }
    page = render("duplicates.html", parts)
    write_whole(Path(path), lambda file: file.write(page.encode()))


def _shown(groups: Sequence[Sequence[DuplicateTile]]) -> Sequence[Sequence[DuplicateTile]]:
    before = itertools.accumulate(map(len, groups), initial=0)
    return [group for group, number in zip(groups, before, strict=False) if number < MAX_PICTURES]


def _contents(groups: Sequence[Sequence[DuplicateTile]]) -> str:
    """Returns links to the groups, or ``""`` if there are fewer than two."""
    if len(groups) < 2:
        return ""
    links = "".join(
        f'<li><a href="#group-{number}">Group {number}</a> ({_summary(group)})</li>\n'
        for number, group in enumerate(groups, 1)
    )
    return f'<nav aria-label="Groups"><ol>\n{links}</ol></nav>'


def _summary(group: Sequence[DuplicateTile]) -> str:
    copies = sum(tile.copies is not None for tile in group)
    ending = f", {copies:,} near copies" if copies else ""
    return f"{_count(len(group), 'picture')}{ending}"


def _section(number: int, group: Sequence[DuplicateTile]) -> str:
    title = f"group-{number}-title"
    sets = itertools.groupby(group, key=lambda tile: (tile.copies, tile.unreadable is not None))
    return (
        f'<section id="group-{number}" class="group" aria-labelledby="{title}">\n'
        f'<h2 id="{title}">Group {number}: {_summary(group)}</h2>\n'
        + "".join(_set(copies, unreadable, list(tiles)) for (copies, unreadable), tiles in sets)
        + "</section>\n"
    )


def _set(copies: int | None, unreadable: bool, tiles: Sequence[DuplicateTile]) -> str:
    heading = "Similar codes, different pixels"
    if unreadable:
        heading = "Cannot be read"
    elif copies is not None:
        heading = f"Near copies: {_count(len(tiles), 'picture')}"
    kind = " copies" if copies is not None else ""
    shown = "".join(map(_tile, tiles))
    return (
        f'<div class="set{kind}">\n<h3>{heading}</h3>\n<ol class="results">\n{shown}</ol></div>\n'
    )


def _tile(tile: DuplicateTile) -> str:
    name = Path(tile.path).name
    facts = [f'<span class="distance">code {_bits(tile.distance)}</span>']
    if tile.pixels is not None:
        facts.append(f'<span class="score">pixels {_bits(tile.pixels)}</span>')
    if tile.same_file:
        facts.append('<span class="same">same bytes</span>')
    if tile.unreadable is None:
        shown = picture(tile.path, name)
    else:
        shown = f'<p class="gone">cannot be read: {text(tile.unreadable)}</p>'
    return (
        f'<li><figure>{shown}<figcaption><p class="facts">{" ".join(facts)}</p>'
        f'<p class="file" title="{text(tile.path)}">{breakable(tile.path)}</p>'
        "</figcaption></figure></li>\n"
    )


def _bits(number: int) -> str:
    return _count(number, "bit")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
