"""Searches stores with LanceDB, either by a scan or with an inverted file (IVF) index.

The IVF index clusters the codes into lists, and a query probes only the lists whose centres are
nearest to it. Codes are read from the store as they are needed, so memory use does not grow with
the store. The store may be in object storage.
"""

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8

from hashnet_jax.index._lance import damaged, faults_named
from hashnet_jax.index._popcount import distances_from, words_of
from hashnet_jax.index._store import Store
from hashnet_jax.index._store_rows import codes_of
from hashnet_jax.index._store_search import Neighbour, check_limits, check_width, nearest_first

# Lists per square root of the number of codes.
_LISTS = 1
# With fewer codes, an index has no benefit, because a scan takes milliseconds.
_FEWEST_CODES = 256
# An index is rebuilt if more than this fraction of the codes was added after it was built.
_MOST_UNINDEXED = 0.1

_COLUMNS = ("id", "code", "label", "check")


def search_tables(
    stores: Sequence[Store],
    packed_queries: UInt8[np.ndarray, "Q bytes"],
    k: int,
    *,
    probes: int | None = None,
    where: str | None = None,
) -> list[list[Neighbour]]:
    """Finds the pictures nearest to each query in one or more stores, using LanceDB.

    Without ``probes``, each query is compared with every code. The result is exact, except that
    ties at the largest returned distance are broken arbitrarily. With ``probes``, some of the
    nearest codes may be missed. In both cases, the returned distances are exact, and the checksums
    of the returned rows are verified.

    Args:
      stores: the stores to search; all their codes must come from the same network.
      packed_queries: packed query codes, uint8 ``[Q, ceil(K/8)]``.
      k: maximum number of neighbours per query, >= 1.
      probes: number of index lists to search per query, see :func:`build_index`; None to search
        without an index.
      where: a SQL filter, e.g. ``"label = 'cat'"``; None for all pictures.

    Returns:
      The neighbours of each query in order of distance, with ties broken by id and then by store.

    Raises:
      ValueError: if ``k`` or ``probes`` < 1, ``where`` is not a valid filter, or the query codes
        and the stored codes have different numbers of bytes.
      DamagedFile: a ValueError, if a returned row is damaged.
    """
    check_limits(k, None)
    if probes is not None and probes < 1:
        raise ValueError(f"`probes` must be >= 1, got {probes}.")
    merged: list[list[Neighbour]] = [[] for _ in packed_queries]
    for place, store in enumerate(stores):
        check_width(packed_queries, store.manifest.code_bytes)
        if where is not None:
            store.check_filter(where)
        if len(store):
            for query, neighbours in zip(packed_queries, merged, strict=True):
                with faults_named(store.uri):
                    rows = _query(store.table, query, k, probes, where).to_arrow()
                neighbours += _neighbours(store, place, query, rows)
    return [nearest_first(neighbours, k) for neighbours in merged]


def build_index(store: Store) -> None:
    """Builds a store's IVF index, which becomes part of the next store version.

    Nothing is done if an existing index covers at least 90% of the codes. Codes added after the
    index was built are found by a scan.

    Args:
      store: the store to index. A store with fewer than 256 codes gets no index.
    """
    number = len(store)
    with faults_named(store.uri):
        indexed = _indexed(store.table)
    if number < _FEWEST_CODES or indexed >= (1 - _MOST_UNINDEXED) * number:
        return
    print(f"building the index of {number:,} codes", file=sys.stderr, flush=True)
    from lancedb.index import IvfFlat

    lists = max(1, round(_LISTS * math.sqrt(number)))
    config = IvfFlat(distance_type="hamming", num_partitions=lists)
    with faults_named(store.uri):
        store.table.create_index("code", config=config, replace=True)


def _indexed(table: Any) -> int:
    """Returns the number of codes in the index, or 0 if there is no index."""
    for index in table.list_indices():
        if list(index.columns) == ["code"]:
            return table.index_stats(index.name).num_indexed_rows
    return 0


def _query(
    table: Any, query: UInt8[np.ndarray, " bytes"], k: int, probes: int | None, where: str | None
) -> Any:
    search = table.search(query, vector_column_name="code").distance_type("hamming")
    search = search.select([*_COLUMNS, "_distance"]).limit(k)
    search = search.bypass_vector_index() if probes is None else search.nprobes(probes)
    return search if where is None else search.where(where, prefilter=True)


def _neighbours(
    store: Store, place: int, query: UInt8[np.ndarray, " bytes"], rows: pa.Table
) -> list[Neighbour]:
    store.check_rows(rows)
    ids, labels = rows["id"], rows["label"]
    codes = np.ascontiguousarray(codes_of(rows["code"], store.manifest.code_bytes))
    distances = distances_from(words_of(query[None])[0], words_of(codes)).tolist()
    if distances != rows["_distance"].to_pylist():
        raise damaged(store.uri, "the codes in its index are not those in the table")
    made = zip(distances, ids.to_pylist(), labels.to_pylist(), map(bytes, codes), strict=True)
    return [Neighbour(distance, id, place, label, code) for distance, id, label, code in made]
