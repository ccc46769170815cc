"""The `.partial` folder of unfinished codes, which survives a kill at any moment.

::

    listing         paths of the pictures to encode, one per line, fixed at the start, so the output
                    depends neither on interruptions nor on pictures added later
    codes.npy, ids.txt, skipped     output files, appended to batch by batch
    journal.json    the request, and the valid length of each output file, to which a
                    continued run truncates it
    lock            held by the writing process
"""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hashnet_jax.distributed.files import exclusive_lock, write_whole
from hashnet_jax.index._manifest import CODES, IDS, MANIFEST, PARTIAL, Manifest, read_manifest

JOURNAL, LISTING, LOCK, SKIPPED = "journal.json", "listing", "lock", "skipped"

OnSkip = Callable[[str, str], None]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The encoding request, which a continued run must repeat.

    Attributes:
      weights_sha256, inputs, batch_size, devices: as in :class:`hashnet_jax.index.Manifest`.
    """

    weights_sha256: str
    inputs: list[str]
    batch_size: int
    devices: int


@dataclasses.dataclass
class Journal:
    """Encoding progress.

    Attributes:
      plan: the :class:`Plan`, as a dict.
      listed: number of pictures to encode.
      done: number of pictures encoded or skipped so far.
      codes: number of codes written so far.
      ends: valid length of each output file, in bytes.
    """

    plan: dict[str, Any]
    listed: int
    done: int
    codes: int
    ends: dict[str, int]


def claim_output(output: str | Path, plan: Plan) -> Path | None:
    """Creates the `.partial` folder in ``output``, unless ``output`` contains finished codes.

    Args:
      output: folder for the codes.
      plan: the request.

    Returns:
      The `.partial` folder, or None if ``output`` contains the finished codes for this plan.

    Raises:
      FileExistsError: if ``output`` contains anything else.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise FileExistsError(
            f"`output` must be a folder, but {output} is a file: choose another `output`."
        )
    content = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if MANIFEST in content:
        _check_same_plan(dataclasses.asdict(read_manifest(output)), plan, output)
        shutil.rmtree(output / PARTIAL, ignore_errors=True)
        return None
    if content and PARTIAL not in content:
        raise FileExistsError(
            f"`output` must be a new or empty folder, but {output} contains {min(content)!r}: "
            "choose another `output`."
        )
    partial = output / PARTIAL
    partial.mkdir(parents=True, exist_ok=True)
    return partial


def lock(partial: Path) -> contextlib.AbstractContextManager[None]:
    """Locks `.partial`; raises a BlockingIOError if another process holds the lock."""
    busy = (
        f"another process is writing to {partial.parent}: wait until it ends, or choose another "
        "`output`."
    )
    return exclusive_lock(partial / LOCK, busy)


def read_journal(partial: Path, plan: Plan) -> Journal | None:
    """Reads the journal of an interrupted run; returns None if there is none yet.

    Raises:
      FileExistsError: if the journal belongs to another request.
      ValueError: if the journal is damaged.
    """
    path = partial / JOURNAL
    if not path.is_file():
        return None
    try:
        journal = Journal(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged or not a journal ({error}): remove {partial} and encode again."
        ) from error
    _check_same_plan(journal.plan, plan, partial.parent)
    return journal


def start_journal(
    partial: Path, plan: Plan, list_pictures: Callable[[OnSkip], Iterable[str]], width: int
) -> Journal:
    """Writes the listing, the empty output files and the first journal.

    The journal is written last, so if this is interrupted, the next call starts over.

    Args:
      partial: from :func:`claim_output`.
      plan: the request.
      list_pictures: function ``on_skip -> paths``, see :func:`hashnet_jax.index.list_pictures`.
      width: number of bytes per packed code.

    Returns:
      The journal.
    """
    listed = 0
    with open(partial / SKIPPED, "wb") as skipped, open(partial / LISTING, "wb") as listing:
        for path in list_pictures(lambda path, reason: write_skip(skipped, path, reason)):
            listing.write(os.fsencode(path) + b"\n")
            listed += 1
        _sync(listing, skipped)
        end_of_skipped = skipped.tell()
    with open(partial / CODES, "wb") as codes, open(partial / IDS, "wb"):
        # Reserves the header, whose length does not depend on the number of codes.
        _write_header(codes, listed, width)
        end_of_header = codes.tell()
    ends = {CODES: end_of_header, IDS: 0, SKIPPED: end_of_skipped}
    journal = Journal(dataclasses.asdict(plan), listed=listed, done=0, codes=0, ends=ends)
    _write_journal(partial, journal)
    return journal


@contextlib.contextmanager
def open_growing(partial: Path, journal: Journal) -> Iterator[dict[str, BinaryIO]]:
    """Opens the output files for appending, keyed by name and truncated to their valid lengths."""
    with contextlib.ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for name, end in journal.ends.items():
            files[name] = stack.enter_context(open(partial / name, "r+b"))
            files[name].truncate(end)
            files[name].seek(0, os.SEEK_END)
        yield files


def save_journal(partial: Path, journal: Journal, files: Mapping[str, BinaryIO]) -> None:
    """Flushes the output files to disk, then writes the journal that declares them valid."""
    _sync(*files.values())
    journal.ends = {name: file.tell() for name, file in files.items()}
    _write_journal(partial, journal)


def publish(partial: Path, manifest: Manifest) -> None:
    """Moves the finished files to the output folder, the manifest last; safe to repeat."""
    output = partial.parent
    if (partial / CODES).is_file():
        with open(partial / CODES, "r+b") as codes:
            _write_header(codes, manifest.number, manifest.bytes)
            _sync(codes)
    for name in (CODES, IDS):
        if (partial / name).is_file():
            os.replace(partial / name, output / name)
    manifest.write(output)
    shutil.rmtree(partial)


def write_skip(file: BinaryIO, path: str, reason: str) -> None:
    """Appends a skipped picture to the file."""
    file.write(json.dumps({"path": path, "reason": reason}).encode() + b"\n")


def read_skips(partial: Path) -> list[dict[str, str]]:
    """Reads the skipped pictures, each as ``{"path", "reason"}``."""
    with open(partial / SKIPPED, "rb") as file:
        return [json.loads(line) for line in file]


def _check_same_plan(old: Mapping[str, Any], plan: Plan, output: Path) -> None:
    for name, value in dataclasses.asdict(plan).items():
        if old[name] != value:
            raise FileExistsError(
                f"{output} contains codes from another call, with {name} {old[name]} instead of "
                f"{value}: choose another `output`, or repeat that call to continue it."
            )


def _write_header(file: BinaryIO, number: int, width: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (number, width)}
    np.lib.format.write_array_header_1_0(file, header)


def _write_journal(partial: Path, journal: Journal) -> None:
    content = json.dumps(dataclasses.asdict(journal)).encode()
    write_whole(partial / JOURNAL, lambda file: file.write(content))


def _sync(*files: BinaryIO) -> None:
    for file in files:
        file.flush()
        os.fsync(file.fileno())
