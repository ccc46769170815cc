"""The search of a service is exact, with ties in order of the id."""

import numpy as np
import pyarrow as pa
import pytest

from hashnet_jax.index import Snapshot, StoreManifest
from hashnet_jax.index.service._searcher import Searcher
from hashnet_jax.model import ModelSpec

pytest.importorskip("fastapi")


def searcher_of(codes, bits):
    spec = ModelSpec("small_cnn", bits=bits, image_size=8, resize=8)
    manifest = StoreManifest.of(spec, weights_sha256="0" * 64)
    ids = pa.array([f"{i:05}.jpg" for i in range(len(codes))], pa.utf8())
    return Searcher(Snapshot(manifest, 1, ids, codes, pa.nulls(len(codes), pa.utf8())))


@pytest.mark.parametrize("bits", [3, 12, 64, 100, 512])
@pytest.mark.parametrize("k", [1, 7, 299, 300, 1000])
def test_the_nearest_are_those_of_a_popcount_loop(bits, k):
    rng = np.random.default_rng(bits)
    codes = np.packbits(rng.integers(0, 2, (300, bits)), axis=1)
    searcher = searcher_of(codes, bits)
    for query in codes[:5] ^ codes[5:10]:
        loop = [
            sum(int(a ^ b).bit_count() for a, b in zip(query, code, strict=True)) for code in codes
        ]
        ranking = sorted((distance, row) for row, distance in enumerate(loop))[:k]
        distances, rows = searcher.nearest(query, k)
        assert list(zip(distances.tolist(), rows.tolist(), strict=True)) == ranking


def test_an_empty_store_has_no_nearest_code():
    distances, rows = searcher_of(np.zeros((0, 2), np.uint8), 12).nearest(np.zeros(2, np.uint8), 5)
    assert len(distances) == len(rows) == 0


def test_a_row_is_found_by_its_id_and_no_row_by_another():
    searcher = searcher_of(np.zeros((20, 2), np.uint8), 12)
    assert [searcher.row(f"{i:05}.jpg") for i in range(20)] == list(range(20))
    for other in ("", "00003", "00003.jpg\0", "../00003.jpg", "zzz"):
        assert searcher.row(other) is None
