"""The `.partial` folder, from which encoding is resumed after an interruption.

::

    listing         paths to the pictures to encode, one per line. Written once at the start, so
                    interruptions and pictures added later do not change the output
    codes.npy, ids.txt, skipped     output files, appended to after each batch
    journal.json    the request, and the valid length of each output file. When encoding is
                    resumed, the output files are truncated to these lengths
    lock            lock file, held by the process that writes to the folder
"""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hashnet_jax.distributed.files import exclusive_lock, make_folder, sha256, sync_folder
from hashnet_jax.distributed.reading import damage_named, parse_json
from hashnet_jax.index._codes_folder import check_codes
from hashnet_jax.index._growing import GrowingFile, open_growing
from hashnet_jax.index._journal import (
    HEADERS,
    LISTING,
    SKIPPED,
    Journal,
    Plan,
    check_same_plan,
    remedy_for,
    write_journal,
)
from hashnet_jax.index._manifest import CODES, IDS, MANIFEST, PARTIAL, Manifest, read_manifest

_LOCK = "lock"

OnSkip = Callable[[str, str], None]


def claim_output(output: str | Path, plan: Plan) -> Path | None:
    """Creates the `.partial` folder in ``output``, unless ``output`` contains finished codes.

    Args:
      output: folder for the codes.
      plan: the encoding request.

    Returns:
      The `.partial` folder, or None if ``output`` already contains the codes for this request.

    Raises:
      FileExistsError: if ``output`` is a file, contains files but no codes, or contains the codes
        for a different request.
      DamagedFile: a ValueError, if ``output`` contains finished codes that are damaged.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise FileExistsError(
            f"`output` must be a folder, but {output} is a file. Choose a different `output`."
        )
    content = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if MANIFEST in content:
        manifest = read_manifest(output)
        check_same_plan(dataclasses.asdict(manifest), plan, output)
        check_codes(output, manifest)
        shutil.rmtree(output / PARTIAL, ignore_errors=True)
        return None
    if content and PARTIAL not in content:
        raise FileExistsError(
            f"`output` must be a new or empty folder, but {output} contains {min(content)!r}. "
            "Choose a different `output`."
        )
    partial = output / PARTIAL
    make_folder(partial)
    return partial


def lock(partial: Path) -> contextlib.AbstractContextManager[None]:
    """Locks `.partial`; raises a BlockingIOError if another process holds the lock."""
    busy = (
        f"another process is writing to {partial.parent}. Wait for it to finish, or choose a "
        "different `output`."
    )
    return exclusive_lock(partial / _LOCK, busy)


def start_journal(
    partial: Path, plan: Plan, list_pictures: Callable[[OnSkip], Iterable[str]], width: int
) -> Journal:
    """Writes the list of pictures, the empty output files and the first journal.

    The journal is written last, so if this function is interrupted, the next call starts over.

    Args:
      partial: the `.partial` folder, from :func:`claim_output`.
      plan: the encoding request.
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
        # Reserve space for the header, whose length does not depend on the number of codes.
        _write_header(codes, listed, width)
    ends = {CODES: HEADERS[CODES], IDS: 0, SKIPPED: end_of_skipped}
    hashes = {name: sha256(partial / name) for name in (IDS, SKIPPED, LISTING)}
    hashes[CODES] = hashes[IDS]  # nothing follows the header yet
    journal = Journal(
        dataclasses.asdict(plan), listed=listed, done=0, codes=0, ends=ends, hashes=hashes
    )
    write_journal(partial, journal)
    return journal


def open_outputs(
    partial: Path, journal: Journal
) -> contextlib.AbstractContextManager[dict[str, GrowingFile]]:
    """Truncates the output files to their valid lengths, and opens them for appending."""
    return open_growing(partial, journal.ends, HEADERS)


def save_journal(partial: Path, journal: Journal, files: Mapping[str, GrowingFile]) -> None:
    """Syncs the output files to disk, then writes a journal with their new lengths."""
    for file in files.values():
        file.sync()
    journal.ends = {name: file.tell() for name, file in files.items()}
    if journal.hashes:
        journal.hashes |= {name: file.sha256() for name, file in files.items()}
    write_journal(partial, journal)


def publish(partial: Path, manifest: Manifest) -> Manifest:
    """Moves the finished files to the output folder, then writes the manifest; safe to repeat.

    Args:
      partial: the `.partial` folder, from :func:`claim_output`.
      manifest: the manifest, except for the hashes of the files.

    Returns:
      The manifest as written, with the hashes.
    """
    output = partial.parent
    if (partial / CODES).is_file():
        with open(partial / CODES, "r+b") as codes:
            _write_header(codes, manifest.number, manifest.code_bytes)
            _sync(codes)
    for name in (CODES, IDS):
        if (partial / name).is_file():
            os.replace(partial / name, output / name)
    sync_folder(output)
    manifest = dataclasses.replace(
        manifest, codes_sha256=sha256(output / CODES), ids_sha256=sha256(output / IDS)
    )
    manifest.write(output)
    shutil.rmtree(partial, ignore_errors=True)  # otherwise removed by the next call
    return manifest


def write_skip(file: BinaryIO | GrowingFile, path: str, reason: str) -> None:
    """Writes a line with the path of a skipped picture and the reason that it was skipped."""
    file.write(json.dumps({"path": path, "reason": reason}).encode() + b"\n")


def read_skips(partial: Path) -> list[dict[str, str]]:
    """Returns the skipped pictures, each as a dict with keys ``"path"`` and ``"reason"``."""
    path = partial / SKIPPED
    with damage_named(path, "a list of skipped pictures", remedy_for(partial)):
        with open(path, "rb") as file:
            skips = [parse_json(line) for line in file]
        if not all(isinstance(skip, dict) and set(skip) == {"path", "reason"} for skip in skips):
            raise ValueError("a line does not consist of a path and a reason")
    return skips


def _write_header(file: BinaryIO, number: int, width: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (number, width)}
    np.lib.format.write_array_header_1_0(file, header)


def _sync(*files: BinaryIO) -> None:
    for file in files:
        file.flush()
        os.fsync(file.fileno())
