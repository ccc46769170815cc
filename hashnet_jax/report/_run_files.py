"""Reads a finished run's files, except `result.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Num, UInt8

from hashnet_jax.distributed.json_values import count, number, record
from hashnet_jax.distributed.reading import (
    ArrayHeader,
    DamagedFile,
    damage_named,
    parse_json,
    read_json,
    read_npz,
    read_text,
)
from hashnet_jax.distributed.seals import unsealed
from hashnet_jax.model import ModelSpec

_REMEDY = "restore it from a copy, or repeat the run"
_LOSS_LINE = record(
    {"step": count, **dict.fromkeys(("loss", "beta", "binary_loss", "quantization_gap"), number)}
)


class CodeSet(NamedTuple):
    """Codes of the queries or the database.

    Attributes:
      codes: packed codes, uint8 ``[N, ceil(K/8)]``.
      labels: class ids ``[N]``, or multi-hot labels ``[N, C]``.
      indices: indices of the images in the data set's source.
    """

    codes: UInt8[np.ndarray, "N bytes"]
    labels: Num[np.ndarray, "N *C"]
    indices: Int[np.ndarray, " N"]


def read_config(path: Path) -> tuple[dict[str, Any], ModelSpec]:
    """Reads `config.json`, and checks that it is a valid config.

    Returns:
      The content, and the spec of the network.
    """
    # Imported here because it imports optax and orbax, which search pages do not need.
    from hashnet_jax.configs import Config

    what = "the config of a run"
    content = read_json(path, what, _REMEDY)
    with damage_named(path, what, _REMEDY):
        content = unsealed(content)
        return content, Config.from_json(content).model


def read_history(path: Path, *, step: int, total_steps: int) -> list[dict[str, Any]]:
    """Reads the lines of `metrics.jsonl` that contain a loss.

    Args:
      path: path to `metrics.jsonl`.
      step: training step after which the evaluated network was saved.
      total_steps: number of steps of the run.

    Returns:
      The content of each line, ordered by step.

    Raises:
      DamagedFile: if a line is damaged, the steps are not in ascending order, no loss was logged up
        to ``step``, or the last step is not ``total_steps``.
    """
    what = "the metrics of this run"
    content = read_text(path, what, _REMEDY)
    history: list[dict[str, Any]] = []
    last: dict[bool, int] = {}  # last step of training (True) and validation lines (False)
    for i, text in enumerate(content.splitlines(), 1):
        try:
            line = parse_json(text)
            record({"step": count})(line)
            has_loss = "loss" in line
            if line["step"] <= last.get(has_loss, -1):
                raise ValueError(f"step {line['step']} comes after step {last[has_loss]}")
            last[has_loss] = line["step"]
            if has_loss:
                _LOSS_LINE(line)
                history.append(line)
        except ValueError as error:
            raise DamagedFile(path, what, f"line {i}: {error}", _REMEDY) from error
    with damage_named(path, what, _REMEDY):
        if not history or history[0]["step"] > step:
            raise ValueError(
                f"it contains no losses at or before the evaluated step {step} ({len(history)} "
                "losses in total)"
            )
        if history[-1]["step"] != total_steps:
            raise ValueError(
                f"its last loss is at step {history[-1]['step']}, but the run has {total_steps} "
                "steps"
            )
    return history


def read_codes(path: Path, *, bits: int, sizes: Mapping[str, int]) -> tuple[CodeSet, CodeSet]:
    """Reads `codes.npz`.

    Args:
      path: path to the file.
      bits: K, the number of bits per code.
      sizes: number of images in each part of the split, keyed by name, with at least "query" and
        "database".

    Returns:
      The codes of the queries and of the database.

    Raises:
      DamagedFile: if the file is damaged, or an array has the wrong size.
    """
    parts = {name: sizes[name] for name in ("query", "database")}

    def check(headers: Mapping[str, ArrayHeader]) -> None:
        for name, size in parts.items():
            _check_headers(headers, name, (size, -(-bits // 8)))
        if headers["query_labels"].shape[1:] != headers["database_labels"].shape[1:]:
            raise ValueError(
                "'query_labels' and 'database_labels' differ in format or number of classes"
            )
        _check_array(headers, "bits", (), "iu")

    what = "the codes of this run"
    arrays = read_npz(path, what, _REMEDY, check=check)
    with damage_named(path, what, _REMEDY):
        if int(arrays["bits"]) != bits:
            raise ValueError(f"its codes have {arrays['bits']} bits, but the network has {bits}")
        for name in parts:
            if (arrays[f"{name}_indices"] < 0).any():
                raise ValueError(f"'{name}_indices' has a negative entry")
    query, database = (
        CodeSet(*(arrays[f"{name}_{part}"] for part in CodeSet._fields)) for name in parts
    )
    return query, database


def _check_headers(headers: Mapping[str, ArrayHeader], name: str, shape: tuple[int, int]) -> None:
    """Checks the shapes and dtypes of the codes, labels and indices of one part of the split."""
    _check_array(headers, f"{name}_codes", shape, "u", itemsize=1)
    _check_array(headers, f"{name}_indices", shape[:1], "iu")
    labels = headers[f"{name}_labels"]
    classes = labels.shape[1:2]
    _check_array(headers, f"{name}_labels", shape[:1] + classes, "biuf" if classes else "iu")


def _check_array(
    headers: Mapping[str, ArrayHeader],
    name: str,
    shape: tuple[int, ...],
    kinds: str,
    itemsize: int | None = None,
) -> None:
    found = headers[name]
    is_right = found.dtype.kind in kinds and itemsize in (None, found.dtype.itemsize)
    if found.shape != shape or not is_right:
        raise ValueError(
            f"{name!r} must have the shape {list(shape)}, got {found.dtype} {list(found.shape)}"
            if is_right
            else f"{name!r} has the wrong dtype, {found.dtype}"
        )
