"""The journal of an unfinished codes folder: the request and the progress of encoding."""

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hashnet_jax.distributed.files import write_whole
from hashnet_jax.distributed.reading import DamagedFile, damage_named, file_exists, read_json
from hashnet_jax.distributed.seals import is_sealed, sealed, unsealed
from hashnet_jax.index._growing import WRITTEN, check_start
from hashnet_jax.index._manifest import CODES, IDS

JOURNAL, LISTING, SKIPPED = "journal.json", "listing", "skipped"

# The header of `codes.npy` has the same length for any number of codes. It is rewritten when the
# codes are published, so the hash of the file's valid part leaves it out.
HEADERS = {CODES: 128}


@dataclasses.dataclass(frozen=True)
class Plan:
    """The encoding request, which must not change when encoding is resumed.

    Attributes:
      weights_sha256, inputs, batch_size, devices: see :class:`hashnet_jax.index.Manifest`.
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
      hashes: SHA-256 of the listing, and of the valid part of each output file without its header;
        empty if version 0.1 wrote the journal.
    """

    plan: dict[str, Any]
    listed: int
    done: int
    codes: int
    ends: dict[str, int]
    hashes: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.codes <= self.done <= self.listed:
            raise ValueError(
                f"its counts are inconsistent: {self.codes} codes from {self.done} of "
                f"{self.listed} pictures"
            )


def read_journal(partial: Path, plan: Plan) -> Journal | None:
    """Reads the journal of an interrupted run; returns None if there is none yet.

    Raises:
      FileExistsError: if the journal records a different request.
      DamagedFile: a ValueError, if the journal or a file that it describes is damaged.
    """
    path = partial / JOURNAL
    what, remedy = "an encoding journal", remedy_for(partial)
    if not file_exists(path, what, remedy):
        return None
    content = read_json(path, what, remedy)
    with damage_named(path, what, remedy):
        journal = Journal(**unsealed(content))
        if set(journal.ends) != {CODES, IDS, SKIPPED} or set(journal.plan) != set(_names_of(Plan)):
            raise ValueError("its entries are incomplete")
        if bool(journal.hashes) != is_sealed(content):
            raise ValueError("its hashes are incomplete")
    check_same_plan(journal.plan, plan, partial.parent)
    _check_output(partial, journal)
    return journal


def write_journal(partial: Path, journal: Journal) -> None:
    """Writes the journal atomically."""
    content = dataclasses.asdict(journal)
    content = json.dumps(sealed(content) if journal.hashes else content).encode()
    write_whole(partial / JOURNAL, lambda file: file.write(content))


def check_same_plan(old: Mapping[str, Any], plan: Plan, output: Path) -> None:
    """Raises a FileExistsError unless all values in a saved plan equal those of ``plan``."""
    for name, value in dataclasses.asdict(plan).items():
        if old[name] != value:
            raise FileExistsError(
                f"{output} contains codes from a call with different arguments ({name}: "
                f"{old[name]}, now {value}). Repeat the original call to continue encoding, or "
                "choose a different `output`."
            )


def remedy_for(partial: Path) -> str:
    """Returns advice for a user who finds a damaged file in `.partial`."""
    return f"delete {partial} and start again"


def _check_output(partial: Path, journal: Journal) -> None:
    """Checks that the listing and the valid part of each output file are undamaged."""
    _check_lengths(partial, journal)
    if not journal.hashes:
        print(
            f"note: {partial} was written by version 0.1, without hashes, so damage to its files "
            "cannot be detected.",
            file=sys.stderr,
        )
        return
    ends = {**journal.ends, LISTING: (partial / LISTING).stat().st_size}
    for name, end in ends.items():
        path = partial / name
        if name in (CODES, IDS) and journal.done == journal.listed and not path.exists():
            path = partial.parent / name  # publishing was interrupted
        check_start(
            path,
            header=HEADERS.get(name, 0),
            end=end,
            sha256=journal.hashes[name],
            remedy=remedy_for(partial),
        )


def _check_lengths(partial: Path, journal: Journal) -> None:
    for name, end in {**journal.ends, LISTING: 0}.items():
        path = partial / name
        if file_exists(path, WRITTEN, remedy_for(partial)) and path.stat().st_size < end:
            reason = f"it is shorter than the {end:,} bytes that were written"
            raise DamagedFile(path, WRITTEN, reason, remedy_for(partial))


def _names_of(form: type[Plan]) -> list[str]:
    return [field.name for field in dataclasses.fields(form)]
