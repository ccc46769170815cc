"""Reads `result.json`, which contains the hashes of the run's other files."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hashnet_jax.distributed.files import sha256
from hashnet_jax.distributed.json_values import (
    count,
    each,
    number,
    one_of,
    optional,
    record,
    table,
    text,
)
from hashnet_jax.distributed.reading import check_sha256, damage_named, file_exists, read_json
from hashnet_jax.distributed.seals import is_sealed, unsealed

RESULT = "result.json"
# The files whose hashes are saved with the result, if the run has them.
BOUND_FILES = (
    *("config.json", "metrics.jsonl", "model.npz", "codes.npz", "split.npz"),
    *("data.json", "pictures.json", "overlaps.json"),
)
UNVERIFIED = (
    "This run was written by version 0.1, which saved no hashes, so its files cannot be checked "
    "against each other."
)

_WHAT = "the result of a run"
_REMEDY = "restore it from a copy, or repeat the run"

_check_result = record(
    {
        "summary": text,
        "map": record(
            {
                **dict.fromkeys(("worst", "expected", "best", "queries_without_hit"), number),
                "queries": count,
                "cutoff": optional(count),
                "divisor": one_of("hits", "min", "cutoff"),
                "no_hit": one_of("zero", "drop"),
            }
        ),
        "codes": record(
            {
                **dict.fromkeys(("codes", "distinct", "constant_bits"), count),
                "ones": each(number),
                "alarms": each(text),
            }
        ),
        "step": count,
        "sizes": record({"query": count, "database": count}),
        "overlaps": table(record({"same_image": count, "same_picture": optional(count)})),
        "notes": each(text),
        "variant": text,
        "devices": text,
        "seconds": number,
        "versions": record({"hashnet_jax": text}),
    },
    # Runs from earlier versions do not have these entries.
    metrics=table(number),
    files=table(text),
    convention=text,
    recipe=text,
    learning_rate=text,
    validation=record(
        {"cutoff": optional(count), "queries": count, "database": count, "select": text}
    ),
)


def bound_result(content: Mapping[str, Any], run_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Adds the hashes of the run's other files to the content of `result.json`.

    Args:
      content: the content of `result.json`, without hashes.
      run_dir: folder of the run; its other files must be complete.

    Returns:
      The content with an entry ``"files"``, which contains the SHA-256 of each file.
    """
    paths = [Path(run_dir, name) for name in BOUND_FILES]
    return {**content, "files": {path.name: sha256(path) for path in paths if path.is_file()}}


def has_result(run_dir: str | os.PathLike[str]) -> bool:
    """Returns whether a run has finished, i.e. whether its `result.json` exists.

    Raises:
      DamagedFile: a ValueError, if `result.json` is not a regular file.
    """
    return file_exists(Path(run_dir, RESULT), _WHAT, _REMEDY)


def read_result(
    run_dir: str | os.PathLike[str], files: Iterable[str] = BOUND_FILES
) -> dict[str, Any]:
    """Reads `result.json`, and checks that the run's files match the hashes in it.

    Runs from version 0.1 have no hashes, so their files are not checked; see :func:`is_bound`.

    Args:
      run_dir: folder of a finished run.
      files: names of the files to check.

    Returns:
      The content of `result.json`, without the hash of that content.

    Raises:
      DamagedFile: a ValueError, if `result.json` or one of the files is damaged, or comes
        from another run.
      OSError: if `result.json` cannot be read, or one of the files is missing.
    """
    path = Path(run_dir, RESULT)
    content = read_json(path, _WHAT, _REMEDY)
    with damage_named(path, _WHAT, _REMEDY):
        result = unsealed(content)
        if is_bound(result) and not is_sealed(content):
            raise ValueError("it has no SHA-256 of its own content")
        _check_result(result)
    hashes = result.get("files", {})
    for name in files:
        if name in hashes:
            remedy = "restore the file that belongs to this run, or repeat the run"
            what = f"the file that {RESULT} was computed from"
            check_sha256(path.with_name(name), hashes[name], what, remedy)
    return result


def is_bound(result: Mapping[str, Any]) -> bool:
    """Returns whether a result contains the hashes of the run's files.

    Examples:
      >>> is_bound({"step": 10})
      False
    """
    return "files" in result
