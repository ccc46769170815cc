"""Finds the pictures nearest to each query in one or more stores."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.cli._queries import batch_size_of, check_numbers, encode_queries, list_queries
from hashnet_jax.cli._query_network import load_query_network
from hashnet_jax.cli._search_output import Results, check_output, output
from hashnet_jax.index import (
    DEFAULT_PROBES,
    Neighbour,
    check_same_network,
    load_snapshot,
    rescore_neighbours,
    search_snapshots,
)
from hashnet_jax.weights import ModelArrays

# A Snapshot, or a Store if an index is searched. Store is not imported: it needs LanceDB, which is
# slow to import.
Source = Any

DEFAULT_K = 10


def print_nearest_in_stores(
    run_dir: Path,
    read_model: Callable[[], ModelArrays],
    stores: Sequence[str],
    queries: Sequence[str],
    *,
    k: int | None = None,
    radius: int | None = None,
    kind: str = "flat",
    probes: int | None = None,
    rescore: int | None = None,
    where: str | None = None,
    as_json: bool = False,
    html: Path | None = None,
) -> None:
    """Prints the pictures nearest to each query in one or more stores.

    Args:
      run_dir: run folder that contains `model.npz`.
      read_model: returns the content of that file; may wait for a thread that reads it.
      stores: store folders or locations in object storage.
      queries: picture files, folders and globs.
      k: maximum number of neighbours per query; None for 10, or for all neighbours within
        ``radius`` if it is given.
      radius: maximum distance; None for no limit.
      kind: "flat" loads the codes into memory and compares each query with every code; "ivf" uses
        the index of the store, which is built if necessary.
      probes: number of index lists to search per query; None for the default.
      rescore: number of nearest codes to rank by score, >= k; None to rank by Hamming distance.
      where: a SQL filter, e.g. ``"label = 'cat'"``; None for all pictures.
      as_json: whether to print JSON instead of a table.
      html: output file for an HTML page that shows the pictures, or None.

    Raises:
      FileNotFoundError: if the run, a store, a query or the parent folder of ``html`` does not
        exist.
      ModuleNotFoundError: if LanceDB is needed but not installed.
      ValueError: if another network computed the codes of a store, no query can be read, or an
        argument is out of range or incompatible with another argument.
    """
    k = DEFAULT_K if k is None and radius is None else k
    _check(k, radius, kind, probes, rescore)
    check_output(html)
    pictures = list_queries(queries)
    sources = [_open(uri, kind, where) for uri in stores]
    content = read_model()
    _check_networks(stores, sources, run_dir, content.sha256)
    network = load_query_network(run_dir, content, batch_size_of(pictures))
    paths, packed, logits = encode_queries(network, pictures)
    candidates = k if rescore is None else rescore
    found = _search(sources, kind, packed, candidates, radius, probes or DEFAULT_PROBES, where)
    header = _header(stores, sources, kind)
    if rescore is not None:
        found = rescore_neighbours(found, logits, rescore if k is None else k)
        header["rescored"] = min(rescore, header["searched"])
    output(Results(header, paths, found, stores), as_json=as_json, html=html)


def _check(
    k: int | None, radius: int | None, kind: str, probes: int | None, rescore: int | None
) -> None:
    if radius is not None and radius < 0:
        raise ValueError(f"`radius` must be >= 0, got {radius}.")
    check_numbers(1 if k is None else k, rescore)
    if radius is not None and kind != "flat":
        raise ValueError(
            "`radius` needs `kind='flat'`, since other kinds may miss codes within the radius."
        )
    if probes is not None and (kind != "ivf" or probes < 1):
        raise ValueError(f"`probes` must be >= 1 and needs `kind='ivf'`, got {probes}.")


def _check_networks(
    stores: Sequence[str], sources: Sequence[Source], run_dir: Path, sha256: str
) -> None:
    for uri, source in zip(stores, sources, strict=True):
        if source.manifest.weights_sha256 != sha256:
            from hashnet_jax.weights import load

            load(run_dir)  # Damage is reported as such.
            check_same_network(source.manifest, uri, run_dir)
            raise ValueError(f"the network in {run_dir} was replaced during the search. Try again.")


def _open(uri: str, kind: str, where: str | None) -> Source:
    if kind == "flat":
        return load_snapshot(uri, where=where)
    from hashnet_jax.index import build_index, open_store

    store = open_store(uri)
    build_index(store)
    return store


def _search(
    sources: Sequence[Source],
    kind: str,
    packed: UInt8[np.ndarray, "Q bytes"],
    k: int | None,
    radius: int | None,
    probes: int,
    where: str | None,
) -> list[list[Neighbour]]:
    if kind == "flat":
        return search_snapshots(sources, packed, k=k, radius=radius)
    from hashnet_jax.index import search_tables

    return search_tables(sources, packed, k or DEFAULT_K, probes=probes, where=where)


def _header(stores: Sequence[str], sources: Sequence[Source], kind: str) -> dict[str, Any]:
    described = [
        {"store": uri, "version": source.version, "searched": len(source)}
        for uri, source in zip(stores, sources, strict=True)
    ]
    searched = sum(store["searched"] for store in described)
    bits = sources[0].manifest.bits
    return {"bits": bits, "searched": searched, "index": kind, "stores": described}
