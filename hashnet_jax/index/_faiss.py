"""faiss indexes of packed codes, stored next to the codes in faiss's own format.

`flat` compares each query with every code and is exact. The other kinds of index examine only a
fraction of the codes: they return exact distances, but may miss some of the nearest codes. They are
worthwhile for more than about a million codes.
"""

import contextlib
import errno
import json
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.distributed.files import sha256, write_whole
from hashnet_jax.distributed.reading import DamagedFile, check_sha256, damage_named, read_json
from hashnet_jax.distributed.seals import sealed, unsealed
from hashnet_jax.index._codes_folder import open_codes
from hashnet_jax.index._manifest import CODES, Manifest

PackedCodes = UInt8[np.ndarray, "N bytes"]
Builder = Callable[[PackedCodes, int], Any]

# The errno values of writes to a read-only file system or folder.
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}

# Number of codes to read from disk and add to an index at a time.
CODES_PER_PART = 2**20

# Number of links per code in HNSW's graph; faiss's default.
HNSW_LINKS = 32
# Minimum number of candidates that HNSW keeps during a search.
HNSW_MIN_CANDIDATES = 64

# faiss warns if there are fewer training codes per list.
IVF_MIN_CODES_PER_LIST = 39


def import_faiss(purpose: str) -> ModuleType:
    """Imports faiss, or raises an error that explains how to install it.

    Args:
      purpose: completes the error message "faiss is needed to ...".

    Returns:
      The faiss module.

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
            f"faiss is needed to {purpose}. Install faiss-cpu or hashnet_jax[search] with pip."
        ) from error
    return faiss


def open_index(folder: str | Path, manifest: Manifest, kind: str) -> Any:
    """Opens the index of a codes folder; the index is built and stored on first use.

    Args:
      folder: a codes folder.
      manifest: the manifest of ``folder``.
      kind: type of index, a name in :data:`hashnet_jax.index.KINDS`.

    Returns:
      A binary faiss index of N codes with 8 * ceil(K/8) bits each. The padding bits in the last
      byte are zero in every code, so they do not affect distances.

    Raises:
      ModuleNotFoundError: if faiss is not installed.
      DamagedFile: a ValueError, if the index file is damaged or was built from different codes.
    """
    import_faiss("search")  # Fails before printing if faiss is missing.
    path = Path(folder) / f"{kind}.faiss"
    codes_sha256 = sha256(Path(folder) / CODES)
    if path.is_file() and _binding(path).is_file():
        return _read(path, manifest, codes_sha256)
    why = f", because {path} has no record of its origin" if path.is_file() else ""
    _say(f"building {path.name} for {manifest.number:,} codes{why}")
    index = KINDS[kind](open_codes(folder, manifest), manifest.bits)
    try:
        _write(path, index, codes_sha256)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        _say(f"note: {folder} is read-only, so the index is only kept in memory.")
    return index


def nearest(
    index: Any, packed_queries: UInt8[np.ndarray, "Q bytes"], k: int
) -> list[list[tuple[int, int]]]:
    """Searches an index for the codes nearest to each query.

    Args:
      index: a faiss index, from :func:`open_index`.
      packed_queries: packed query codes, uint8 ``[Q, ceil(K/8)]``.
      k: number of neighbours, >= 1.

    Returns:
      For each query, a list of pairs ``(distance, i)``, nearest first, with ties broken by i. Each
      list has min(k, N) entries, or fewer if an approximate index finds fewer.
    """
    k = min(k, index.ntotal)
    with contextlib.suppress(AttributeError):  # HNSW only
        index.hnsw.efSearch = max(HNSW_MIN_CANDIDATES, k)
    distance, ids = index.search(np.ascontiguousarray(packed_queries), k)
    rows = zip(distance.tolist(), ids.tolist(), strict=True)
    return [sorted((d, i) for d, i in zip(*row, strict=True) if i >= 0) for row in rows]


def _binding(path: Path) -> Path:
    """Returns the path to the file that records what an index was built from."""
    return path.with_name(f"{path.name}.json")


def _read(path: Path, manifest: Manifest, codes_sha256: str) -> Any:
    """Reads an index file after verifying its hash, since faiss itself checks only the sizes."""
    what, remedy = f"an index of the codes in {path.parent}", f"delete {path} to rebuild it"
    recorded = read_json(_binding(path), f"the record of {path.name}", remedy)
    with damage_named(_binding(path), f"the record of {path.name}", remedy):
        recorded = unsealed(recorded)
        index_sha256, built_from = recorded["index_sha256"], recorded["codes_sha256"]
    if built_from != codes_sha256:
        raise DamagedFile(path, what, "it was built from different codes", remedy)
    check_sha256(path, index_sha256, what, remedy)
    with damage_named(path, what, remedy):
        index = import_faiss("search").read_index_binary(str(path))
        if (index.ntotal, index.d) != (manifest.number, 8 * manifest.code_bytes):
            raise ValueError(f"it has {index.ntotal:,} codes of {index.d} bits")
    return index


def _write(path: Path, index: Any, codes_sha256: str) -> None:
    """Writes an index, and then a record of the codes that it was built from."""
    faiss = import_faiss("search")
    write_whole(
        path, lambda file: faiss.write_index_binary(index, faiss.PyCallbackIOWriter(file.write))
    )
    record = sealed({"index_sha256": sha256(path), "codes_sha256": codes_sha256})
    content = json.dumps(record, indent=2).encode() + b"\n"
    write_whole(_binding(path), lambda file: file.write(content))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _flat(codes: PackedCodes, bits: int) -> Any:
    return _add(import_faiss("search").IndexBinaryFlat(8 * codes.shape[1]), codes)


def _ivf(codes: PackedCodes, bits: int) -> Any:
    """Clusters the codes into 4 sqrt(N) lists; a query searches the nearest 1/32 of the lists."""
    faiss, width, number = import_faiss("search"), 8 * codes.shape[1], len(codes)
    lists = max(1, min(round(4 * math.sqrt(number)), number // IVF_MIN_CODES_PER_LIST))
    index = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(width), width, lists)
    index.cp.min_points_per_centroid = 1  # Silences the warning about too few codes.
    sample = np.random.default_rng(0).permutation(number)[: 256 * lists]
    index.train(np.ascontiguousarray(codes[np.sort(sample)]))
    index.nprobe = min(lists, max(8, lists // 32))
    return _add(index, codes)


def _hnsw(codes: PackedCodes, bits: int) -> Any:
    """Builds a graph that links neighbouring codes; a search follows links to ever closer codes."""
    index = import_faiss("search").IndexBinaryHNSW(8 * codes.shape[1], HNSW_LINKS)
    index.hnsw.efConstruction = 2 * HNSW_MIN_CANDIDATES
    return _add(index, codes)


def _multihash(codes: PackedCodes, bits: int) -> Any:
    """Builds a hash table for each substring of the codes; lookups flip up to 2 bits of the key."""
    width = min(bits, max(1, math.ceil(math.log2(len(codes) + 1))), 16)
    faiss = import_faiss("search")
    index = faiss.IndexBinaryMultiHash(8 * codes.shape[1], bits // width, width)
    index.nflip = min(2, width)
    return _add(index, codes)


def _add(index: Any, codes: PackedCodes) -> Any:
    for start in range(0, len(codes), CODES_PER_PART):
        index.add(np.ascontiguousarray(codes[start : start + CODES_PER_PART]))
    return index


# Functions (packed codes, K) -> index, keyed by kind.
KINDS: dict[str, Builder] = {"flat": _flat, "ivf": _ivf, "hnsw": _hnsw, "multihash": _multihash}


def register(kind: str, build: Builder) -> None:
    """Registers a kind of index.

    Args:
      kind: name of the kind, which is also the stem of the index file name.
      build: function ``(packed codes uint8 [N, ceil(K/8)], K) -> index`` that returns a binary
        faiss index.

    Raises:
      ValueError: if the name is taken.

    Examples:
      >>> register("flat", lambda codes, bits: None)
      Traceback (most recent call last):
      ...
      ValueError: an index named 'flat' is already registered. Choose another name.
    """
    if kind in KINDS:
        raise ValueError(f"an index named {kind!r} is already registered. Choose another name.")
    KINDS[kind] = build
