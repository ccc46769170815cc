"""Lists the user's own pictures and their labels, from a folder or a CSV file."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from hashnet_jax.data._options import Options
from hashnet_jax.data.csv_file import read_csv
from hashnet_jax.data.pictures import check_pictures, find_pictures
from hashnet_jax.distributed.printing import printable

# Notes and error messages name at most this many files with the same reason.
_NAMES_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Listing:
    """Pictures found in a folder or a CSV file, not yet decoded.

    Attributes:
      place: the path given by the user, for error messages.
      root: folder that the names are relative to.
      labels: ``{name: labels}``, sorted by name.
      classes: all classes, including those without pictures.
      loose: names of pictures outside any subfolder.
      passed_over: ``(name, reason)`` for each file or folder that was ignored, and for each folder
        that cannot be listed.
      repeated: number of lines that repeat a picture listed earlier in the CSV file.
    """

    place: str
    root: Path
    labels: dict[str, tuple[str, ...]]
    classes: tuple[str, ...]
    loose: tuple[str, ...] = ()
    passed_over: tuple[tuple[str, str], ...] = ()
    repeated: int = 0


def list_pictures(options: Options) -> Listing:
    """Lists the pictures in the CSV file if one is given, else in the folder.

    Raises:
      FileNotFoundError: if the folder or the CSV file is missing.
      ValueError: if neither is given, no picture is in a subfolder, or a line of the CSV file is
        malformed.
    """
    root = None if options.image_root is None else Path(options.image_root).expanduser()
    if root is not None and not root.is_dir():
        raise FileNotFoundError(
            f"`image_root` must be an existing folder, but there is none at {options.image_root}."
        )
    if options.csv is not None:
        file = Path(options.csv).expanduser()
        return _list_csv(options.csv, file, file.parent if root is None else root)
    if root is None:
        raise ValueError(
            "the data set 'folder' requires `image_root` (a folder with one subfolder per class) "
            "or a `csv` file, but neither was given."
        )
    return _list_folders(root)


def unreadable_pictures(listing: Listing) -> dict[str, str]:
    """Decodes all pictures, and returns ``{name: reason}`` for those that cannot be read.

    Raises:
      FileNotFoundError: if no picture can be read.
    """
    reasons = check_pictures([listing.root / name for name in listing.labels])
    checked = zip(listing.labels, reasons, strict=True)
    unreadable = {name: reason for name, reason in checked if reason is not None}
    if len(unreadable) == len(listing.labels):
        lines = [*describe_passed_over(listing), *describe_unreadable(unreadable)]
        lost = len(unreadable) + len(listing.passed_over)
        raise FileNotFoundError(
            f"{listing.place} must contain at least one readable picture, but contains none "
            f"({lost:,} files skipped)." + "".join(f"\n  {line}" for line in lines)
        )
    return unreadable


def describe_passed_over(listing: Listing) -> Iterator[str]:
    """Yields one line for each reason why files, folders or lines were skipped."""
    names_of: dict[str, list[str]] = {}
    for name, reason in listing.passed_over:
        names_of.setdefault(reason, []).append(name)
    for reason, names in names_of.items():
        yield f"passed over ({printable(reason)}): {len(names):,} ({_shown(names)})"
    if listing.loose:
        yield (
            f"pictures left out (not in a subfolder): {len(listing.loose):,} (first: "
            f"{printable(listing.loose[0])})"
        )
    if listing.repeated:
        yield f"lines that repeat a picture listed earlier: {listing.repeated:,}"


def describe_unreadable(unreadable: dict[str, str], limit: int = 20) -> Iterator[str]:
    """Yields the number of unreadable pictures, and the reasons for the first ``limit`` of them."""
    if unreadable:
        yield f"unreadable pictures skipped: {len(unreadable):,} (full list in pictures.json)"
    for name, reason in list(unreadable.items())[:limit]:
        yield f"skipped {printable(name)}: {printable(reason)}"


def describe_lost_classes(listing: Listing, classes: tuple[str, ...]) -> Iterator[str]:
    """Yields a line for each class that has no readable picture, and is therefore left out."""
    for lost in sorted(set(listing.classes) - set(classes)):
        yield f"class '{printable(lost)}' is left out: it has no readable pictures"


def _shown(names: list[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return shown if more <= 0 else f"{shown} and {more:,} more"


def _list_csv(place: str, file: Path, root: Path) -> Listing:
    labels, repeated = read_csv(file, root)
    classes = sorted({label for row in labels.values() for label in row})
    return Listing(place, root, labels, tuple(classes), repeated=repeated)


def _list_folders(root: Path) -> Listing:
    """Lists the pictures in ``root``, which has one subfolder per class."""
    passed_over = []

    def pass_over(path: str, reason: str) -> None:
        passed_over.append((os.path.relpath(path, root), reason))

    found = sorted(os.path.relpath(path, root) for path in find_pictures(root, pass_over))
    labels = {name: (name.split(os.sep)[0],) for name in found if os.sep in name}
    loose = tuple(name for name in found if os.sep not in name)
    listing = Listing(str(root), root, labels, _folders(root), loose, tuple(passed_over))
    if loose and not labels:
        count = "1 picture" if len(loose) == 1 else f"{len(loose):,} pictures"
        lines = [f"{line}\n" for line in describe_passed_over(listing)]
        raise ValueError(
            f"{''.join(lines)}`image_root` must contain one subfolder per class, but {root} "
            f"contains {count} directly (first: {printable(loose[0])}) and none in subfolders. "
            "Move them into folders named after their classes, or list them in a `csv` file."
        )
    return listing


def _folders(root: Path) -> tuple[str, ...]:
    """Returns the names of the subfolders that may be classes.

    Symbolic links are left out, since the folders that they point to may also be in ``root``.
    """
    try:
        with os.scandir(root) as scan:
            entries = [entry for entry in scan if entry.is_dir(follow_symlinks=False)]
    except OSError:  # reported by find_pictures
        return ()
    return tuple(sorted(entry.name for entry in entries if not entry.name.startswith(".")))
