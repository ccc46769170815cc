"""What a reader of files is, for the campaign."""

import contextlib
import dataclasses
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hashnet_jax.cli import main
from hashnet_jax.configs import Config


@dataclasses.dataclass(frozen=True)
class Reader:
    """A part of the package that reads files.

    Attributes:
      name: name in the table.
      folders: ``{name in the case's folder: name in the world}`` of what is copied for each case.
      files: the files that are damaged, relative to the case's folder; a glob or a path.
      read: function ``(case folder, world) -> answer``.
      strangers: ``{name in the case's folder: name in the world}`` of folders with files of the
        same names and other content.
      is_input: whether the files are the user's own: another content that is valid is read as what
        it is. Otherwise another answer is wrong.
      is_old: whether version 0.1 wrote the files, without hashes of their content.
      others_right: kinds of mutations that put another valid content into the file, where nothing
        beside the file says what it should be.
      is_program: whether a program decides what is printed. Elsewhere libraries may log tracebacks.
      is_named_by_folder: whether an error may name the folder instead of the file in it.
      also: functions ``case folder -> None`` after which the healthy folder gives another right
        answer, e.g. after removing the newest checkpoint.
      primed: whether the reader writes files beside those it reads, which are damaged as well.
      weight: share of the mutations compared with other readers.
    """

    name: str
    folders: dict[str, str]
    files: tuple[str, ...]
    read: Callable[[Path, Path], Any]
    strangers: dict[str, str] = dataclasses.field(default_factory=dict)
    is_input: bool = False
    is_old: bool = False
    others_right: tuple[str, ...] = ()
    is_program: bool = True
    is_named_by_folder: bool = False
    also: tuple[Callable[[Path], None], ...] = ()
    primed: bool = False
    weight: float = 1.0


def digest(value: Any) -> str:
    """A hash of nested containers of arrays, numbers and text."""
    content = hashlib.sha256()
    _feed(content, value)
    return content.hexdigest()[:20]


def _feed(content: Any, value: Any) -> None:
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            content.update(repr(key).encode())
            _feed(content, value[key])
    elif isinstance(value, list | tuple):
        content.update(b"[")
        for item in value:
            _feed(content, item)
        content.update(b"]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        _feed(content, {f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    elif isinstance(value, np.ndarray | np.generic | jax.Array):
        array = np.asarray(value)
        content.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    else:
        content.update(repr(value).encode())


def tree(folder: Path) -> dict[str, str]:
    """Hashes of the visible files in a folder, without blank lines at the end of JSON."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest()[:12]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in {".lock", "lock"}
    }


def _content(path: Path) -> bytes:
    return path.read_bytes().rstrip() if path.suffix == ".json" else path.read_bytes()


def command(case: Path, *args: Any) -> str:
    """Runs a program in this process, and returns what it prints on stdout.

    Raises:
      ValueError: with what it prints on stderr, if its exit status is not 0.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(arg) for arg in args])
    print(out.getvalue())
    print(err.getvalue())
    if status:
        raise ValueError(err.getvalue())
    return out.getvalue().replace(str(case), "CASE")


def without(*names: str) -> Callable[[Path], None]:
    def remove(case: Path) -> None:
        for name in names:
            path = case / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def config_of(run: Path) -> Config:
    """The config of a run, without what is not a field of it, such as a checksum."""
    names = {field.name for field in dataclasses.fields(Config)}
    content = json.loads((run / "config.json").read_text())
    return Config.from_json({name: content[name] for name in names & content.keys()})
