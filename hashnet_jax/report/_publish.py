"""Replaces all files of a report at once, and checks whether they match the run's result."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hashnet_jax.distributed.files import (
    make_folder,
    remove_folder,
    sha256,
    sync_folder,
    write_whole,
)
from hashnet_jax.distributed.json_values import record, table, text
from hashnet_jax.distributed.reading import DamagedFile, check_sha256, damage_named, read_json
from hashnet_jax.distributed.seals import is_sealed, sealed, unsealed
from hashnet_jax.report._result_file import RESULT

PAGE, CARD = "report.html", "card.json"

# Hidden, so that an incomplete report is not mistaken for a finished one.
_STAGING = ".report-new"

_check_card = record({"files": table(text), "provenance": record({"result_sha256": text})})


def card_file(card: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """Returns the content of `card.json`: the card, hashes of the other files, and a hash of both.

    Args:
      card: the card, from :func:`hashnet_jax.report.protocol_card`.
      files: contents of the other files, keyed by name.
    """
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return json.dumps(sealed({**card, "files": hashes}), indent=2).encode() + b"\n"


def publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replaces a report; its folder never contains a mixture of old and new files.

    All files are first written to a hidden folder, so that a full disk leaves the old report
    unchanged. Then the old files are moved aside, the page first, and the new ones are moved into
    place, the page last. If a move fails, the old files are moved back. If the process is killed
    during the moves, there is no page, and :func:`why_outdated` reports it as missing.

    Args:
      folder: the run's folder.
      files: contents of the files, keyed by their path in the folder, including ``PAGE``.
    """
    staging, aside = folder / _STAGING, folder / _STAGING / "old"
    if staging.exists():
        remove_folder(staging)
    for name, content in files.items():
        for parent in (staging, aside, folder):
            make_folder((parent / name).parent)
        write_whole(staging / name, lambda file, content=content: file.write(content))
    names = [PAGE, *(name for name in files if name != PAGE)]
    try:
        for source, target, order in ((folder, aside, names), (staging, folder, names[::-1])):
            for name in order:
                if (source / name).exists():
                    os.replace(source / name, target / name)
                    sync_folder((target / name).parent)
    except BaseException:
        for name in names:
            if not (staging / name).exists():
                (folder / name).unlink(missing_ok=True)
        for name in reversed(names):
            if (aside / name).exists():
                os.replace(aside / name, folder / name)
        raise
    shutil.rmtree(staging, ignore_errors=True)  # otherwise removed by the next call


def why_outdated(run_dir: str | os.PathLike[str]) -> str | None:
    """Explains why the files of a report do not match the run's result.

    Args:
      run_dir: folder of a finished run.

    Returns:
      The reason, or None if the report is complete and was made from the `result.json` in the
      folder.
    """
    folder = Path(run_dir)
    try:
        _check_report(folder)
    except FileNotFoundError as error:
        return f"{error.filename} is missing."
    except DamagedFile as error:
        return str(error)
    return None


def _check_report(folder: Path) -> None:
    what, remedy = "this run's protocol card", "write the report again"
    path = folder / CARD
    card = read_json(path, what, remedy)
    with damage_named(path, what, remedy):
        if not is_sealed(card):
            raise ValueError("it has no SHA-256, like all cards written by version 0.1")
        card = unsealed(card)
        _check_card(card)
        if card["provenance"]["result_sha256"] != sha256(folder / RESULT):
            raise ValueError(f"it was made from a different {RESULT}")
    for name, expected in {PAGE: "", **card["files"]}.items():
        check_sha256(folder / name, expected, "a file of this report", remedy)
