"""Tests for search over stores: the distances of every path, limits, ties and rescoring."""

import numpy as np
import pyarrow as pa
import pytest

from hashnet_jax.codes import unpack_bits
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.hamming import top_k
from hashnet_jax.index import (
    Neighbour,
    Snapshot,
    _popcount,
    _store_rows,
    _store_search,
    build_index,
    create_store,
    make_rows,
    open_store,
    rescore_neighbours,
    search_snapshots,
    search_tables,
)
from tests.support.stores import manifest, rows

NUMBER = 300
BITS = (12, 64, 100)


def clustered(bits, number=NUMBER, seed=0):
    """Packed codes near 10 centres, with many ties."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2, (10, bits))
    flipped = rng.random((number, bits)) < 0.05
    return np.packbits(centres[np.arange(number) % 10] ^ flipped, axis=1)


def snapshot(codes, bits, ids=None, labels=None):
    ids = pa.array(ids or [f"{i:04}" for i in range(len(codes))], pa.utf8())
    labels = pa.array(labels or [None] * len(codes), pa.utf8())
    return Snapshot(manifest(bits), 1, ids, codes, labels)


def fill(store, codes, ids=None, labels=None):
    number = len(codes)
    files = {"sizes": [1] * number, "mtimes_ns": [2] * number, "sha256s": [bytes(32)] * number}
    ids = ids or [f"{i:04}" for i in range(number)]
    store.upsert(make_rows(store.manifest, ids=ids, codes=codes, labels=labels, **files))
    return store


def counted(query, codes):
    """The distances from a query, by a loop over bits."""
    return [sum(int(a ^ b).bit_count() for a, b in zip(query, code, strict=True)) for code in codes]


def pairs(neighbours):
    return [(one.distance, one.id) for one in neighbours]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("by", ["top_k", "numpy", "numpy in blocks"])
def test_search_in_memory_equals_a_loop_over_bits_with_ties_by_id(bits, by, monkeypatch):
    monkeypatch.setattr(_store_search, "COMPILED_FROM", 0 if by == "top_k" else 2**60)
    monkeypatch.setattr(_store_search, "_COMPILED_FRACTION", 1)
    if by == "numpy in blocks":
        monkeypatch.setattr(_popcount, "_BLOCK", 7)
    codes = clustered(bits)
    whole, queries = snapshot(codes, bits), codes[:4]
    for k, radius in ((20, None), (1, None), (20, 3), (NUMBER + 1, None), (None, 3), (2, 0)):
        found = search_snapshots([whole], queries, k=k, radius=radius)
        for query, neighbours in zip(queries, found, strict=True):
            loop = sorted((d, f"{i:04}") for i, d in enumerate(counted(query, codes)))
            assert (
                pairs(neighbours)
                == [pair for pair in loop if radius is None or pair[0] <= radius][:k]
            )
            assert all(one.code == codes[int(one.id)].tobytes() for one in neighbours)


def test_only_large_searches_for_few_neighbours_are_compiled(monkeypatch):
    codes = clustered(64)
    calls = []
    monkeypatch.setattr(_store_search, "COMPILED_FROM", 4 * NUMBER)

    def record(*args):
        calls.append(args)
        return top_k(*args)

    monkeypatch.setattr(_store_search, "top_k", record)
    whole = snapshot(codes, 64)
    search_snapshots([whole], codes[:3], k=3)
    search_snapshots([whole], codes[:4], radius=5)
    search_snapshots([whole], codes[:4], k=4)
    assert calls == []
    search_snapshots([whole], codes[:4], k=3)
    assert len(calls) == 1


@pytest.mark.parametrize("bits", BITS)
def test_what_lancedb_finds_has_the_distances_of_a_loop_over_bits(bits, tmp_path, capsys):
    pytest.importorskip("lancedb")
    codes = clustered(bits)
    store = fill(create_store(tmp_path / "store", manifest(bits)), codes)
    build_index(store)
    assert "building the index of 300 codes" in capsys.readouterr().err
    queries, lists = codes[:3], NUMBER
    for probes in (None, 1, lists):
        found = search_tables([store], queries, 20, probes=probes)
        for query, neighbours in zip(queries, found, strict=True):
            loop = counted(query, codes)
            assert all(one.distance == loop[int(one.id)] for one in neighbours)
            assert pairs(neighbours) == sorted(pairs(neighbours))
            if probes != 1:  # nothing is missed
                assert [one.distance for one in neighbours] == sorted(loop)[:20]
    assert len(search_tables([store], queries, NUMBER, probes=1)[0]) < NUMBER


def test_an_index_is_built_again_only_after_many_codes_were_added(tmp_path, capsys):
    pytest.importorskip("lancedb")
    codes = clustered(64, 400)
    store = fill(create_store(tmp_path / "store", manifest(64)), codes[:200])
    build_index(store)
    assert capsys.readouterr().err == "", "too few codes"
    fill(store, codes[:300])
    build_index(store)
    assert "building" in capsys.readouterr().err
    version = store.version
    fill(store, codes[300:310], [f"{i:04}" for i in range(300, 310)])
    build_index(store)
    assert capsys.readouterr().err == ""
    assert store.version == version + 1
    found = search_tables([store], codes[305:306], 1, probes=1)
    assert found[0][0].distance == 0, "a code that is not in the index is compared, too"
    fill(store, codes[310:], [f"{i:04}" for i in range(310, 400)])
    build_index(open_store(tmp_path / "store"))
    assert "building the index of 400 codes" in capsys.readouterr().err


def test_stores_are_merged_by_distance_and_id_and_then_in_the_order_given(tmp_path):
    codes = np.array([[0b1000], [0], [0b1100], [0], [0]], np.uint8) << 4
    first = snapshot(codes[:3], 8, ["a", "c", "d"], ["cat", None, "cat"])
    second = snapshot(codes[3:], 8, ["b", "c"])
    query = np.zeros((1, 1), np.uint8)
    (found,) = search_snapshots([first, second], query, k=4)
    shown = [(one.distance, one.id, one.store, one.label) for one in found]
    assert shown == [(0, "b", 1, None), (0, "c", 0, None), (0, "c", 1, None), (1, "a", 0, "cat")]
    assert len(search_snapshots([first, second], query, radius=2)[0]) == 5

    pytest.importorskip("lancedb")
    stores = []
    for name, part in (("1", first), ("2", second)):
        store = create_store(tmp_path / name, manifest(8))
        ids, labels = part.ids.to_pylist(), part.labels.to_pylist()
        stores.append(fill(store, part.codes, ids, labels))
    assert search_tables(stores, query, 4) == [found]
    filtered = search_tables(stores, query, 4, where="label = 'cat'")
    assert [one.id for one in filtered[0]] == ["a", "d"]


@pytest.mark.parametrize("bits", [12, 64])
def test_rescoring_gives_the_order_of_brute_force(bits):
    rng = np.random.default_rng(bits)
    # Multiples of 1/8, so that sums are exact and equal scores tie in any order of addition.
    z = np.round(8 * rng.normal(size=(3, bits))).astype(np.float32) / 8
    codes = clustered(bits)
    halves = [
        snapshot(codes[half::2], bits, [f"{i:04}" for i in range(half, NUMBER, 2)])
        for half in (0, 1)
    ]
    found = search_snapshots(halves, np.packbits(z >= 0, axis=1), k=100)
    ranked = rescore_neighbours(found, z, 30)
    signs = np.asarray(unpack_bits(codes, bits), np.float64)
    for logits, candidates, kept in zip(z, found, ranked, strict=True):
        scores = {one.id: float(signs[int(one.id)] @ logits) for one in candidates}
        assert [one.id for one in kept] == sorted(scores, key=lambda i: (-scores[i], i))[:30]
        assert all(one.score == scores[one.id] for one in kept)
        assert all(one in [c._replace(score=one.score) for c in candidates] for one in kept)


def test_rescoring_takes_as_many_as_there_are_and_keeps_queries_without_neighbours():
    near = Neighbour(0, "b", 0, None, b"\x00")
    far = Neighbour(1, "a", 0, None, b"\x80")
    z = np.full((3, 8), -1.0, np.float32)
    found = rescore_neighbours([[near, far], [], [far]], z, 5)
    assert [[(one.id, one.score) for one in row] for row in found] == [
        [("b", 8.0), ("a", 6.0)], [], [("a", 6.0)]
    ]  # fmt: skip
    assert rescore_neighbours([[], []], z[:2], 5) == [[], []]


def test_an_empty_store_has_no_neighbours(tmp_path):
    empty, query = snapshot(np.zeros((0, 2), np.uint8), 12), np.zeros((2, 2), np.uint8)
    assert search_snapshots([empty], query, k=3) == [[], []]
    assert search_snapshots([empty], query, radius=12) == [[], []]
    pytest.importorskip("lancedb")
    store = create_store(tmp_path / "store", manifest())
    build_index(store)
    assert search_tables([store], query, 3, probes=1) == [[], []]


def test_limits_and_codes_that_do_not_fit_are_named(tmp_path):
    whole, query = snapshot(clustered(12), 12), np.zeros((1, 2), np.uint8)
    for limits, message in (
        ({}, "pass `k` or `radius`, or both"),
        ({"k": 0}, "`k` must be >= 1, got 0"),
        ({"radius": -1}, "`radius` must be >= 0, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            search_snapshots([whole], query, **limits)
    with pytest.raises(ValueError, match="`packed_queries` must have 2 bytes per code"):
        search_snapshots([whole], np.zeros((1, 3), np.uint8), k=1)
    pytest.importorskip("lancedb")
    store = fill(create_store(tmp_path / "store", manifest()), clustered(12))
    with pytest.raises(ValueError, match="`probes` must be >= 1, got 0"):
        search_tables([store], query, 1, probes=0)
    with pytest.raises(ValueError, match="`where` must be a SQL filter"):
        search_tables([store], query, 1, where="colour = 'red'")
    with pytest.raises(ValueError, match="`packed_queries` must have 2 bytes per code"):
        search_tables([store], np.zeros((1, 3), np.uint8), 1)


def test_a_damaged_row_that_lancedb_finds_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    store = create_store(tmp_path / "store", manifest())
    store.upsert(rows(manifest(), ["a", "b"]))
    checks = _store_rows.row_checks
    monkeypatch.setattr(_store_rows, "row_checks", lambda *columns: checks(*columns) ^ 1)
    with pytest.raises(DamagedFile, match="do not match their checksums"):
        search_tables([store], np.zeros((1, 2), np.uint8), 1)
