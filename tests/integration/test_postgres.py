"""Runs the PostgreSQL recipe of docs/scale.md on a server that this test starts.

Requires psycopg and the PostgreSQL server (Debian: postgresql).
"""

import jax
import numpy as np
import psycopg
import pytest

import hashnet_jax
from hashnet_jax.index import search_snapshots
from tests.docs.test_code_blocks import ROOT, blocks
from tests.support.postgres import running_postgres
from tests.support.stores import store_with_ties

BITS = 44  # not a multiple of 8


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Creates the run folder that the page loads, in the current directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs/digits-small_cnn-48bits-seed0"
    folder.mkdir(parents=True)
    spec = hashnet_jax.ModelSpec("small_cnn", bits=BITS, image_size=8, resize=8)
    hashnet_jax.save(folder, hashnet_jax.init(jax.random.key(0), spec))
    return folder


def nearest(snapshot, packed, k):
    found = search_snapshots([snapshot], packed, k=k)
    return [[(one.distance, one.id) for one in row] for row in found]


def test_postgres_finds_the_same_ids_at_the_same_distances_as_exact_search(run, monkeypatch):
    snapshot = store_with_ties(run.parents[1] / "store", run).snapshot()
    images = np.random.default_rng(0).integers(0, 256, (6, 20, 16, 3)).astype(np.uint8)
    names = {"images": images}
    with running_postgres() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for block in blocks(ROOT / "docs/scale.md", "py"):
            exec(compile(block, "docs/scale.md", "exec"), names)
        assert names["found"] == nearest(snapshot, names["queries"], 10)
        rng = np.random.default_rng(1)
        queries = np.packbits(rng.integers(0, 2, (20, BITS), np.uint8), axis=1)
        with psycopg.connect() as connection:
            for k in (1, 30, 1_000):
                found = names["search"](connection, queries, BITS, k)
                assert found == nearest(snapshot, queries, k)
                assert {len(row) for row in found} == {min(k, len(snapshot))}
