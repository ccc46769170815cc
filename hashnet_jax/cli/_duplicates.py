"""Finds groups of pictures with similar codes, and outputs them as a table, JSON or HTML."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hashnet_jax.cli._search_output import check_output
from hashnet_jax.distributed.printing import printable
from hashnet_jax.index import (
    COPY_BITS,
    DuplicatePicture,
    Snapshot,
    find_duplicates,
    load_snapshot,
)

Groups = Sequence[Sequence[DuplicatePicture]]

_HEAD = "bits  pixels  kind           picture"


def print_duplicates(
    store: str, *, radius: int, as_json: bool = False, html: Path | None = None
) -> None:
    """Prints groups of pictures with similar codes, and marks the near copies in each group.

    Args:
      store: store folder or location in object storage.
      radius: maximum Hamming distance between the codes of two linked pictures, >= 0; a group
        contains all pictures that are connected by a chain of links.
      as_json: whether to print JSON instead of a table.
      html: output file for an HTML page that shows the pictures, or None.

    Raises:
      FileNotFoundError: if the store or the parent folder of ``html`` does not exist.
      ModuleNotFoundError: if ImageHash is not installed.
      ValueError: if ``radius`` < 0.
    """
    check_output(html)
    snapshot = load_snapshot(store)
    groups = find_duplicates(snapshot, radius)
    if as_json:
        print(_json(store, snapshot, radius, groups))
    else:
        print("\n".join(_table(snapshot, radius, groups)))
    if html is not None:
        _write_page(html, snapshot, radius, groups)
        print(f"page: {html}", file=sys.stderr)


def _table(snapshot: Snapshot, radius: int, groups: Groups) -> Iterator[str]:
    pictures, noun = sum(map(len, groups)), "group" if len(groups) == 1 else "groups"
    bits = "1 bit" if radius == 1 else f"{radius} bits"
    yield f"{len(groups):,} {noun} within {bits}: {pictures:,} of {len(snapshot):,} pictures"
    for number, group in enumerate(groups, 1):
        yield from ("", f"group {number}: {len(group):,} pictures", _HEAD)
        for one in group:
            pixels = "" if one.pixels is None else str(one.pixels)
            reason = "" if one.unreadable is None else f" ({printable(one.unreadable)})"
            yield f"{one.distance:4}  {pixels:>6}  {_kind(one):13}  {printable(one.id)}{reason}"


def _kind(one: DuplicatePicture) -> str:
    if one.unreadable is not None:
        return "unreadable"
    if one.copies is not None:
        return f"{'same file' if one.same_file else 'near copy'} {one.copies}"
    return "equal code" if one.distance == 0 else "similar code"


def _json(store: str, snapshot: Snapshot, radius: int, groups: Groups) -> str:
    header = {"store": store, "version": snapshot.version, "bits": snapshot.manifest.bits}
    header |= {"searched": len(snapshot), "radius": radius, "copy_bits": COPY_BITS}
    found = [[_fields(one) for one in group] for group in groups]
    return json.dumps({**header, "groups": found}, indent=2)


def _fields(one: DuplicatePicture) -> dict[str, Any]:
    fields = one._asdict()
    return {"picture": fields.pop("id"), **fields}


def _write_page(html: Path, snapshot: Snapshot, radius: int, groups: Groups) -> None:
    from hashnet_jax.report import DuplicateTile, write_duplicates_page

    tiles = [
        [
            DuplicateTile(
                one.id, one.distance, one.copies, one.pixels, one.same_file, one.unreadable
            )
            for one in group
        ]
        for group in groups
    ]
    write_duplicates_page(
        html,
        tiles,
        searched=len(snapshot),
        bits=snapshot.manifest.bits,
        radius=radius,
        copy_bits=COPY_BITS,
    )
