"""Indexes over packed codes by faiss, kept beside the codes in faiss's own format.

The only file that imports faiss. `flat` compares with every code and is exact. The others look at a
part of the codes; what they find has its true distance, but nearer codes may be missed. They pay
from about a million codes on.
"""

import contextlib
import math
import sys
import warnings
from pathlib import Path

import numpy as np

from hashnet_jax.cli.codes_folder import open_codes
from hashnet_jax.files import write_whole

CHUNK = 2**20  # codes added at a time

LINKS = 32  # of a code in HNSW to others, faiss's default
CANDIDATES = 64  # that HNSW keeps while it searches, at least


def open_index(folder, manifest, kind):
    """The index of a folder of codes: read, or built and kept where it is not there yet.

    Args:
      folder: of codes.
      manifest: its :class:`hashnet_jax.cli.codes_folder.Manifest`.
      kind: a name in ``KINDS``.

    Returns:
      A faiss index over N codes of 8 * ceil(K/8) bits. The bits that fill a byte are zeros in all
      of them and add to no distance.

    Raises:
      ModuleNotFoundError: if faiss is missing.
      ValueError: if the file of the index is damaged or not of these codes.
    """
    faiss, path = _faiss(), Path(folder) / f"{kind}.faiss"
    if not path.is_file():
        print(f"building {path.name} of {manifest.number:,} codes", file=sys.stderr, flush=True)
        index = KINDS[kind](faiss, open_codes(folder, manifest), manifest.bits)
        write_whole(
            path,
            lambda file: faiss.write_index_binary(index, faiss.PyCallbackIOWriter(file.write)),
        )
        return index
    try:
        index = faiss.read_index_binary(str(path))
        wrong = (index.ntotal, index.d) != (manifest.number, 8 * manifest.bytes)
    except RuntimeError:
        wrong = True
    if wrong:
        raise ValueError(
            f"{path} must be an index of the {manifest.number:,} codes beside it, got a damaged or "
            "another one: remove it, and it is built anew."
        )
    return index


def nearest(index, packed_queries, k):
    """The nearest codes that an index finds.

    Args:
      index: from :func:`open_index`.
      packed_queries: uint8 ``[Q, ceil(K/8)]``.
      k: how many, >= 1.

    Returns:
      A list for each query of ``(distance, i)``, nearest first, ties by the lowest i. At most
      min(k, N) long; shorter where an approximate index finds fewer.
    """
    k = min(k, index.ntotal)
    with contextlib.suppress(AttributeError):  # of HNSW alone
        index.hnsw.efSearch = max(CANDIDATES, k)
    distance, ids = index.search(np.ascontiguousarray(packed_queries), k)
    rows = zip(distance.tolist(), ids.tolist(), strict=True)
    return [sorted((d, i) for d, i in zip(*row, strict=True) if i >= 0) for row in rows]


def _flat(faiss, codes, bits):
    return _add(faiss.IndexBinaryFlat(8 * codes.shape[1]), codes)


def _ivf(faiss, codes, bits):
    """Lists of codes around centroids, 4 sqrt(N) of them, of which a query looks into 1 in 32."""
    n_bits, number = 8 * codes.shape[1], len(codes)
    n_lists = max(1, min(round(4 * math.sqrt(number)), number // 39))  # faiss wants 39 codes a list
    index = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(n_bits), n_bits, n_lists)
    index.cp.min_points_per_centroid = 1  # says nothing of the few there are
    sample = np.random.default_rng(0).permutation(number)[: 256 * n_lists]
    index.train(np.ascontiguousarray(codes[np.sort(sample)]))
    index.nprobe = min(n_lists, max(8, n_lists // 32))
    return _add(index, codes)


def _hnsw(faiss, codes, bits):
    """A graph of near codes, walked from code to nearer code."""
    index = faiss.IndexBinaryHNSW(8 * codes.shape[1], LINKS)
    index.hnsw.efConstruction = 2 * CANDIDATES
    return _add(index, codes)


def _multihash(faiss, codes, bits):
    """Tables keyed by parts of a code; a query looks up its parts with up to two bits flipped."""
    width = min(bits, max(1, math.ceil(math.log2(len(codes) + 1))), 16)
    index = faiss.IndexBinaryMultiHash(8 * codes.shape[1], bits // width, width)
    index.nflip = min(2, width)
    return _add(index, codes)


# What each kind is built by: (faiss, packed codes, K) -> index.
KINDS = {"flat": _flat, "ivf": _ivf, "hnsw": _hnsw, "multihash": _multihash}


def _add(index, codes):
    for start in range(0, len(codes), CHUNK):
        index.add(np.ascontiguousarray(codes[start : start + CHUNK]))
    return index


def _faiss():
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of its SWIG types, on import
            import faiss
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "faiss is needed to search: pip install faiss-cpu (or hashnet_jax[search])."
        ) from error
    return faiss
