"""Hamming search: ``hamming.top_k`` against faiss's IndexBinaryFlat, distances compared."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from measuring import Row, measure, missing

from hashnet_jax import hamming


def run(options):
    rng = np.random.default_rng(0)
    width = -(-options.bits // 8)
    sizes = ((options.queries, width), (options.database, width))
    queries, database = (rng.integers(0, 256, size, np.uint8) for size in sizes)
    k = min(options.nearest, options.database)
    case = f"top-{k} of {options.queries} in {options.database} codes of {8 * width} bits"
    arrays = jnp.asarray(queries), jnp.asarray(database)
    start = time.perf_counter()
    search = jax.jit(hamming.top_k, static_argnums=2).lower(*arrays, k).compile()
    compiling = time.perf_counter() - start
    row = Row("hamming", case, "hashnet_jax", items=options.queries, unit="queries")
    row.compile_seconds = compiling
    row.memory = search.memory_analysis().temp_size_in_bytes / 2**20
    row.note = "working memory, without codes and result"
    rows = [(row, lambda: search(*arrays))]
    if options.peers == "none":
        yield from measure(rows, options.repeats)
        return
    try:
        import faiss
    except ImportError as error:
        yield from measure(rows, options.repeats)
        yield missing("hamming", case, "faiss IndexBinaryFlat", error)
        return
    index = faiss.IndexBinaryFlat(8 * width)
    index.add(database)
    peer = Row("hamming", case, "faiss IndexBinaryFlat", items=options.queries, unit="queries")
    rows.append((peer, lambda: index.search(queries, k)))
    measured = measure(rows, options.repeats)
    if not np.array_equal(search(*arrays)[0], index.search(queries, k)[0]):
        raise RuntimeError("the distances of hamming.top_k must be those of faiss.")
    measured[1].note = "the same distances"
    yield from measured
