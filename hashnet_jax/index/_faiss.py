"""faiss indexes over packed codes, stored next to the codes in faiss's own format.

`flat` compares a query with every code and is exact. The other kinds examine only a fraction
of the codes: the distances they return are exact, but they may miss closer codes. They pay off
above about a million codes.
"""

import contextlib
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.distributed.files import write_whole
from hashnet_jax.index._codes_folder import open_codes
from hashnet_jax.index._manifest import Manifest

PackedCodes = UInt8[np.ndarray, "N bytes"]
Builder = Callable[[PackedCodes, int], Any]

# Number of codes read from disk and added to an index at a time.
CODES_PER_PART = 2**20

# Number of links per code in HNSW's graph; faiss's default.
HNSW_LINKS = 32
# Minimum number of candidates that HNSW keeps during a search.
HNSW_MIN_CANDIDATES = 64

# faiss warns about fewer training codes per list.
IVF_MIN_CODES_PER_LIST = 39


def import_faiss(purpose: str) -> ModuleType:
    """Imports faiss, or raises an error that explains how to install it.

    Args:
      purpose: completes "faiss is needed to ..." in the error.

    Returns:
      The module.

    Raises:
      ModuleNotFoundError: if faiss is missing.
    """
    try:
        with warnings.catch_warnings():
            # Importing faiss emits deprecation warnings about its SWIG types.
            warnings.simplefilter("ignore", DeprecationWarning)
            import faiss
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"faiss is needed to {purpose}: pip install faiss-cpu (or hashnet_jax[search])."
        ) from error
    return faiss


def open_index(folder: str | Path, manifest: Manifest, kind: str) -> Any:
    """Opens an index over a codes folder, building and storing it first if there is none.

    Args:
      folder: a codes folder.
      manifest: the manifest of ``folder``.
      kind: a name in :data:`hashnet_jax.index.KINDS`.

    Returns:
      A binary faiss index over N codes of 8 * ceil(K/8) bits. The padding bits in the last byte are
      zero in every code and never contribute to a distance.

    Raises:
      ModuleNotFoundError: if faiss is missing.
      ValueError: if the index file is damaged or belongs to other codes.
    """
    import_faiss("search")  # fails before printing if faiss is missing
    path = Path(folder) / f"{kind}.faiss"
    if path.is_file():
        return _read(path, manifest)
    print(f"building {path.name} over {manifest.number:,} codes", file=sys.stderr, flush=True)
    index = KINDS[kind](open_codes(folder, manifest), manifest.bits)
    _write(path, index)
    return index


def nearest(
    index: Any, packed_queries: UInt8[np.ndarray, "Q bytes"], k: int
) -> list[list[tuple[int, int]]]:
    """Searches an index for the codes nearest to each query.

    Args:
      index: from :func:`open_index`.
      packed_queries: uint8 ``[Q, ceil(K/8)]``.
      k: number of neighbours, >= 1.

    Returns:
      For each query, a list of ``(distance, i)``, nearest first, ties in order of i. It has
      min(k, N) entries, or fewer if an approximate index finds fewer.
    """
    k = min(k, index.ntotal)
    with contextlib.suppress(AttributeError):  # HNSW only
        index.hnsw.efSearch = max(HNSW_MIN_CANDIDATES, k)
    distance, ids = index.search(np.ascontiguousarray(packed_queries), k)
    rows = zip(distance.tolist(), ids.tolist(), strict=True)
    return [sorted((d, i) for d, i in zip(*row, strict=True) if i >= 0) for row in rows]


def _read(path: Path, manifest: Manifest) -> Any:
    try:
        index = import_faiss("search").read_index_binary(str(path))
    except RuntimeError:
        index = None
    if index is None or (index.ntotal, index.d) != (manifest.number, 8 * manifest.bytes):
        raise ValueError(
            f"{path} is damaged or not an index over the {manifest.number:,} codes next to it: "
            "delete it to rebuild the index."
        )
    return index


def _write(path: Path, index: Any) -> None:
    faiss = import_faiss("search")
    write_whole(
        path, lambda file: faiss.write_index_binary(index, faiss.PyCallbackIOWriter(file.write))
    )


def _flat(codes: PackedCodes, bits: int) -> Any:
    return _add(import_faiss("search").IndexBinaryFlat(8 * codes.shape[1]), codes)


def _ivf(codes: PackedCodes, bits: int) -> Any:
    """Groups the codes into 4 sqrt(N) lists around centroids; a query probes 1 list in 32."""
    faiss, width, number = import_faiss("search"), 8 * codes.shape[1], len(codes)
    lists = max(1, min(round(4 * math.sqrt(number)), number // IVF_MIN_CODES_PER_LIST))
    index = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(width), width, lists)
    index.cp.min_points_per_centroid = 1  # silences the warning about too few codes
    sample = np.random.default_rng(0).permutation(number)[: 256 * lists]
    index.train(np.ascontiguousarray(codes[np.sort(sample)]))
    index.nprobe = min(lists, max(8, lists // 32))
    return _add(index, codes)


def _hnsw(codes: PackedCodes, bits: int) -> Any:
    """Links neighbouring codes in a graph; a search follows links to ever closer codes."""
    index = import_faiss("search").IndexBinaryHNSW(8 * codes.shape[1], HNSW_LINKS)
    index.hnsw.efConstruction = 2 * HNSW_MIN_CANDIDATES
    return _add(index, codes)


def _multihash(codes: PackedCodes, bits: int) -> Any:
    """Keeps a hash table per code part; a query looks up its parts with up to 2 bits flipped."""
    width = min(bits, max(1, math.ceil(math.log2(len(codes) + 1))), 16)
    faiss = import_faiss("search")
    index = faiss.IndexBinaryMultiHash(8 * codes.shape[1], bits // width, width)
    index.nflip = min(2, width)
    return _add(index, codes)


def _add(index: Any, codes: PackedCodes) -> Any:
    for start in range(0, len(codes), CODES_PER_PART):
        index.add(np.ascontiguousarray(codes[start : start + CODES_PER_PART]))
    return index


# Index builders by kind: (packed codes, K) -> index.
KINDS: dict[str, Builder] = {"flat": _flat, "ivf": _ivf, "hnsw": _hnsw, "multihash": _multihash}


def register(kind: str, build: Builder) -> None:
    """Registers a kind of index.

    Args:
      kind: name of the kind, also the stem of the index file name.
      build: function ``(packed codes uint8 [N, ceil(K/8)], K) -> index`` that returns a binary
        faiss index.

    Raises:
      ValueError: if the name is taken.

    Examples:
      >>> register("flat", lambda codes, bits: None)
      Traceback (most recent call last):
      ...
      ValueError: an index named 'flat' is already registered: choose another name.
    """
    if kind in KINDS:
        raise ValueError(f"an index named {kind!r} is already registered: choose another name.")
    KINDS[kind] = build
