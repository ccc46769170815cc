"""The readers of stores: the LanceDB table, and the snapshot beside it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hashnet_jax.index import open_store
from tests.fuzz.fake_network import fake_network
from tests.fuzz.reader import Reader, command, digest

TABLE = "store/pictures.lance/**/*"


def _search(*options: Any) -> Callable[[Path, Path], Any]:
    def read(case: Path, world: Path) -> Any:
        pictures = sorted((world / "pictures").rglob("0*.png"))[:3]
        with fake_network():
            said = command(
                *(case, "search", case / "run", *pictures, "--store", case / "store", "--json"),
                *options,
            )
        found = json.loads(said)
        results = found["results"]
        if "ivf" in options:  # which may return any of the codes at the last distance
            results = [[one["distance"] for one in row["neighbours"]] for row in results]
        return [found["searched"], results]

    return read


def _info(case: Path, world: Path) -> Any:
    return command(case, "index", "info", "--store", case / "store")


def _exported(case: Path, world: Path) -> Any:
    """Exports the rows, which come in no particular order."""
    command(case, "export", case / "store", case / "out.parquet")
    table = pq.read_table(case / "out.parquet").sort_by("id")
    return digest([table.schema.names, str(table.to_pylist())])


def codes_by_id(store: Path) -> str:
    """A hash of the paths and codes in a store."""
    batches = open_store(store).rows(["id", "code"])
    rows = [row for batch in batches for row in batch.to_pylist()]
    return digest(sorted(rows, key=lambda row: row["id"]))


def index_new(case: Path, world: Path) -> Any:
    """Indexes pictures, of which one is damaged, into a new store."""
    with fake_network():
        said = command(
            *(case, "index", "update", case / "run", case / "formats", "--store", case / "store"),
            *("--batch-size", 4, "--devices", 1),
        )
    if ", 0 unreadable" not in said:
        raise ValueError(said)
    return codes_by_id(case / "store")


def _updated(case: Path, world: Path) -> Any:
    """Updates a store, after which its rows must be those of the pictures."""
    with fake_network():
        command(
            *(case, "index", "update", "--store", case / "store", case / "run"),
            *(world / "pictures", "--folder-labels"),
            *("--batch-size", 8, "--devices", 1),
        )
    return _exported(case, world)


def stores() -> Iterator[Reader]:
    """The readers of stores."""
    folders, other = {"run": "run", "store": "store"}, {"run": "run_x", "store": "store_x"}
    yield Reader("store snapshot", folders, ("store/snapshot.arrow", "run/model.npz"),
                 _search("-k", 5), other)  # fmt: skip
    folders, other = folders | {"store": "bare_store"}, other | {"store": "bare_store_x"}
    for name, read in (
        ("search --store", _search("-k", 5)),
        ("search --store --where", _search("-k", 5, "--where", "label = 'dog'")),
        ("export", _exported),
        ("index info", _info),
        ("index update", _updated),
    ):
        yield Reader(name, folders, (TABLE,), read, other, weight=0.5)
    folders, other = folders | {"store": "large_store"}, other | {"store": "large_store_x"}
    probed = _search("-k", 5, "--index", "ivf")
    yield Reader("search --store --index ivf", folders, (TABLE,), probed, other)
