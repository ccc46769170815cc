"""Compares Hamming search by ``top_k`` with faiss's IndexBinaryFlat."""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measuring import Row, measure, missing
from hashnet_jax.codes import bytes_per_code
from hashnet_jax.hamming import top_k
from hashnet_jax.index import import_faiss

PEER = "faiss IndexBinaryFlat"


def run(options: argparse.Namespace) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    width = bytes_per_code(options.bits)
    sizes = ((options.queries, width), (options.database, width))
    queries, database = (rng.integers(0, 256, size, np.uint8) for size in sizes)
    k = min(options.nearest, options.database)
    case = f"top-{k}, {options.queries} queries, {options.database} codes of {8 * width} bits"
    row, search = compiled_search(case, queries, database, k)
    if options.peers == "none":
        yield from measure([(row, search)], options.repeats)
        return
    try:
        faiss = import_faiss("run this comparison")
    except ImportError as error:
        yield from measure([(row, search)], options.repeats)
        yield missing("hamming", case, PEER, error)
        return
    index = faiss.IndexBinaryFlat(8 * width)
    index.add(database)
    peer = Row("hamming", case, PEER, items=len(queries), unit="queries")
    contenders = [(row, search), (peer, lambda: index.search(queries, k))]
    measured = measure(contenders, options.repeats)
    if not np.array_equal(search()[0], index.search(queries, k)[0]):
        raise RuntimeError("top_k and faiss return different distances.")
    measured[1].note = "same distances"
    yield from measured


def compiled_search(
    case: str, queries: np.ndarray, database: np.ndarray, k: int
) -> tuple[Row, Callable[[], Any]]:
    """Compiles ``top_k``; returns a row with compile time and memory, and the compiled search."""
    arrays = jnp.asarray(queries), jnp.asarray(database)
    start = time.perf_counter()
    search = jax.jit(top_k, static_argnums=2).lower(*arrays, k).compile()
    compile_seconds = time.perf_counter() - start
    row = Row("hamming", case, "hashnet_jax", items=len(queries), unit="queries")
    row.compile_seconds = compile_seconds
    row.memory = search.memory_analysis().temp_size_in_bytes / 2**20
    row.note = "working memory, excluding the codes and the result"
    return row, lambda: search(*arrays)
