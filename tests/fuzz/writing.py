"""The operations that :mod:`tests.fuzz.faults` interrupts: everything that the package writes."""

import contextlib
import dataclasses
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import hashnet_jax
from hashnet_jax.cli import main as hashnet
from hashnet_jax.distributed.files import write_whole
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.index import (
    create_store,
    export_codes_folder,
    export_faiss,
    open_store,
    save_snapshot,
    store_exists,
)
from hashnet_jax.report._publish import publish
from hashnet_jax.training import Checkpoints, RunFolder, TrainSpec, init_state
from tests.support.cli_case import make_pictures, make_run
from tests.support.stores import all_rows, manifest, rows

SPEC = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)


@dataclasses.dataclass(frozen=True)
class Operation:
    """Something that is written.

    Attributes:
      prepare: makes a folder in the old state.
      act: brings it from the old state to the new one.
      state: what a reader of the folder gets.
    """

    prepare: Callable[[Path], Any]
    act: Callable[[Path], Any]
    state: Callable[[Path], Any]


def visible(folder):
    """The content of all files that are not hidden, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part[0] == "." for part in path.relative_to(folder).parts)
    }


def _file():
    return Operation(
        prepare=lambda folder: folder.mkdir() or (folder / "file").write_bytes(b"old"),
        act=lambda folder: write_whole(folder / "file", lambda file: file.write(b"new" * 9000)),
        state=visible,
    )


def _model():
    old, new = (hashnet_jax.init(jax.random.key(seed), SPEC) for seed in range(2))
    return Operation(
        prepare=lambda folder: folder.mkdir() or hashnet_jax.save(folder, old),
        act=lambda folder: hashnet_jax.save(folder, new),
        state=visible,
    )


def _result():
    """The codes and the result of a run, written as `hashnet train` writes them."""
    rng = np.random.default_rng(0)
    arrays = {"query_codes": rng.integers(0, 256, (200, 6), np.uint8)}

    def act(folder):
        with RunFolder(folder, resume=True) as run:
            run.write_arrays("codes.npz", arrays)
            run.write_json("result.json", {"summary": "MAP"})

    def prepare(folder):
        with RunFolder(folder) as run:
            run.write_json("config.json", {})

    return Operation(prepare, act, _if_there_is("result.json"))


def _if_there_is(name):
    """The state of a folder that readers do not accept before it holds a file."""
    return lambda folder: visible(folder) if (folder / name).is_file() else None


def _checkpoint():
    state = init_state(jax.random.key(0), SPEC, TrainSpec(total_steps=9))

    def save(folder, step):
        with contextlib.closing(Checkpoints(folder)) as checkpoints:
            at_step = dataclasses.replace(state, step=state.step + step, beta=state.beta + step)
            checkpoints.save(at_step, position={"next_batch": step})

    def read(folder):
        with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
            restored, position = checkpoints.restore_latest(state)
        leaves = (np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(restored.params.variables))
        return int(restored.step), float(restored.beta), position, b"".join(leaves)

    return Operation(lambda folder: save(folder, 1), lambda folder: save(folder, 2), read)


def _update(material):
    """`hashnet index update`, which creates the store."""
    run, pictures = make_run(material / "run"), make_pictures(material / "pictures", 5)
    (pictures / "broken.png").write_bytes(b"no picture")
    command = ("index", "update", run, pictures, "--batch-size", 2, "--devices", 1, "--store")

    def state(folder):
        uri = folder / "store"
        try:
            return all_rows(open_store(uri)) if store_exists(uri) else []
        except DamagedFile as error:
            return str(error)

    return Operation(
        prepare=lambda folder: folder.mkdir(),
        act=lambda folder: _run(*command, folder / "store"),
        state=state,
    )


def _export_to_faiss(material):
    store = _store(material)
    return Operation(
        prepare=lambda folder: folder.mkdir(),
        act=lambda folder: export_faiss(store, folder / "codes.faiss"),
        state=_if_there_is("codes.faiss"),
    )


def _snapshot(material):
    """The file that the first search after a change saves."""
    _store(material)

    def prepare(folder):
        shutil.copytree(material / "store", folder / "store")

    return Operation(
        prepare,
        act=lambda folder: save_snapshot(open_store(folder / "store")),
        state=_if_there_is("store/snapshot.arrow"),
    )


def _store(folder):
    store = create_store(folder / "store", manifest())
    store.upsert(rows(store.manifest, ["a", "b", "c"]))
    return store


def _export_to_a_folder(material):
    """A codes folder, which appears whole or not at all."""
    store = _store(material)
    return Operation(
        prepare=lambda folder: folder.mkdir(),
        act=lambda folder: export_codes_folder(store, folder / "codes"),
        state=visible,
    )


def _report():
    """A report that replaces another one."""

    def write(folder, content):
        publish(folder, dict.fromkeys(("card.json", "figures/a.png", "report.html"), content))

    return Operation(
        prepare=lambda folder: folder.mkdir() or write(folder, b"old"),
        act=lambda folder: write(folder, b"new"),
        state=visible,
    )


def _whole_run(material):
    """The end of `hashnet train`: network, codes and result."""
    options = [
        "--steps",
        "4",
        "--bits",
        "12",
        "--batch-size",
        "32",
        "--no-report",
        "--devices",
        "1",
    ]

    def prepare(folder):
        _run("train", "--run-dir", folder, *options)
        for name in ("model.npz", "codes.npz", "result.json"):
            (folder / name).unlink()

    def state(folder):
        files = _if_there_is("result.json")(folder)
        if files is None:
            return None
        return {name: files[name] for name in ("model.npz", "codes.npz", "split.npz")}

    return Operation(prepare, lambda folder: _run("train", "--run-dir", folder, "--resume"), state)


def _run(*arguments):
    """Runs a command silently; raises an OSError with its message if it fails."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        status = hashnet([*map(str, arguments)])
    if status:
        raise OSError(errors.getvalue().splitlines()[-1])


def operations(material):
    """All operations, by name, as functions that prepare them."""
    return {
        "write_whole": _file,
        "model.npz": _model,
        "codes.npz and result.json": _result,
        "index update": lambda: _update(material / "for update"),
        "snapshot": lambda: _snapshot(material / "for snapshot"),
        "export to faiss": lambda: _export_to_faiss(material / "for export"),
        "export to a codes folder": lambda: _export_to_a_folder(material / "for codes"),
        "report": _report,
        "checkpoint": _checkpoint,
        "end of a run": lambda: _whole_run(material),
    }
