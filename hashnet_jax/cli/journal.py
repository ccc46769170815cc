"""The folder `.partial` of codes in the making, which a kill at any moment does not harm.

::

    listing         what is to encode, a path a line, made once: so the output does not depend on
                    when it was interrupted, nor on pictures that come later
    codes.npy, ids.txt, skipped     appended to
    journal.json    what was asked for, and up to where the files above are valid; a continued run
                    cuts them back to there
    lock            held by the process that writes
"""

import contextlib
import fcntl
import json
import os
import shutil
from pathlib import Path

import numpy as np

from hashnet_jax.cli.codes_folder import CODES, IDS, MANIFEST, PARTIAL, read_manifest
from hashnet_jax.files import write_whole

JOURNAL, LISTING, SKIPPED = "journal.json", "listing", "skipped"


def claim(output, plan):
    """The folder `.partial` in ``output``, or None where the plan's codes are finished.

    Args:
      output: folder for codes.
      plan: JSON dict of what was asked for, which a continued run must ask for again; its names
        are those of a :class:`hashnet_jax.cli.codes_folder.Manifest`.

    Raises:
      FileExistsError: if ``output`` holds anything else.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise FileExistsError(f"{output} must be a folder, got a file: name another with -o.")
    content = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if MANIFEST in content:
        manifest = read_manifest(output)
        _check_plan({name: getattr(manifest, name) for name in plan}, plan, output)
        shutil.rmtree(output / PARTIAL, ignore_errors=True)
        return None
    if content and PARTIAL not in content:
        raise FileExistsError(
            f"{output} must be a new or an empty folder, got one with {min(content)!r}: name "
            "another with -o."
        )
    partial = output / PARTIAL
    partial.mkdir(parents=True, exist_ok=True)
    return partial


@contextlib.contextmanager
def locked(partial):
    """Holds the folder against a second process; dropped by the system however this one ends.

    Raises:
      BlockingIOError: if another process holds it.
    """
    with open(partial / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"another process is writing to {partial.parent}: wait until it ends, or name "
                "another folder with -o."
            ) from error
        yield


def begun(partial, plan):
    """The journal of what was begun and not finished, or None.

    Raises:
      FileExistsError: if something else was begun.
    """
    if not (partial / JOURNAL).is_file():
        return None
    journal = json.loads((partial / JOURNAL).read_text())
    _check_plan(journal["plan"], plan, partial.parent)
    return journal


def begin(partial, plan, pictures, n_bytes):
    """Makes the listing and the empty files; a beginning that was cut off is begun anew.

    Args:
      partial: from :func:`claim`.
      plan: as there.
      pictures: ``on_skip -> iterable of paths``, see
        :func:`hashnet_jax.cli.inputs.list_pictures`.
      n_bytes: of a packed code.

    Returns:
      The journal: ``{"plan", "listed", "done", "codes", "ends"}``: pictures listed, those of them
      that are done, codes written, and the valid length of each file.
    """
    listed = 0
    with open(partial / SKIPPED, "wb") as skipped, open(partial / LISTING, "wb") as listing:
        for path in pictures(lambda *what: write_skip(skipped, *what)):
            listing.write(os.fsencode(path) + b"\n")
            listed += 1
        _sync(listing, skipped)
        n_skipped = skipped.tell()
    with open(partial / CODES, "wb") as codes, open(partial / IDS, "wb"):
        # The place of the header, whose length does not depend on the number of codes.
        _write_header(codes, listed, n_bytes)
        header = codes.tell()
    ends = {CODES: header, IDS: 0, SKIPPED: n_skipped}
    journal = {"plan": plan, "listed": listed, "done": 0, "codes": 0, "ends": ends}
    _write(partial, journal)
    return journal


@contextlib.contextmanager
def opened(partial, journal):
    """The files to append to, by name, cut back to where the journal says they are valid."""
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context(open(partial / name, "r+b")) for name in journal["ends"]}
        for name, file in files.items():
            file.truncate(journal["ends"][name])
            file.seek(0, os.SEEK_END)
        yield files


def record(partial, journal, files):
    """Waits until the files are on the disk, then writes the journal that says so."""
    _sync(*files.values())
    journal["ends"] = {name: file.tell() for name, file in files.items()}
    _write(partial, journal)


def publish(partial, manifest):
    """Moves the finished files to their place, the manifest last; harmless when repeated."""
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


def write_skip(file, path, reason):
    file.write(json.dumps({"path": path, "reason": reason}).encode() + b"\n")


def read_skips(partial):
    """List of ``{"path", "reason"}``."""
    with open(partial / SKIPPED, "rb") as file:
        return [json.loads(line) for line in file]


def _check_plan(old, plan, output):
    for name in plan:
        if old[name] != plan[name]:
            raise FileExistsError(
                f"{output} holds codes of another call, with {name} {old[name]}, got {plan[name]}: "
                "name another folder with -o, or repeat that call, which continues."
            )


def _write_header(file, number, n_bytes):
    header = {"descr": "|u1", "fortran_order": False, "shape": (number, n_bytes)}
    np.lib.format.write_array_header_1_0(file, header)


def _write(partial, journal):
    write_whole(partial / JOURNAL, lambda file: file.write(json.dumps(journal).encode()))


def _sync(*files):
    for file in files:
        file.flush()
        os.fsync(file.fileno())
