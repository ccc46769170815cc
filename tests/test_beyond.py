"""What the manual shows beyond the package: vector stores, sharded faiss, an exported encoder."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import export

import hashnet_jax
from tests.support.cli_case import hashnet, make_pictures, make_run

NEIGHBOURS = 10

READER = """
import sys
for name in ("flax", "hashnet_jax", "optax", "orbax"):
    sys.modules[name] = None  # importing it raises
from pathlib import Path
import numpy as np
from jax import export
encoder = export.deserialize(bytearray(Path("encoder.jax").read_bytes()))
images = np.load("images.npy")
for count in (1, len(images)):
    np.save(f"codes-{count}.npy", encoder.call(images[:count]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    pytest.importorskip("lancedb")
    folder = tmp_path_factory.mktemp("made")
    make_run(folder / "run")
    make_pictures(folder / "pictures", 60)
    store = folder / "pictures.store"
    args = ("index", "update", folder / "run", folder / "pictures", "--store", store)
    assert hashnet(*args, "--devices", 1) == 0
    assert hashnet("export", store, folder / "codes") == 0
    return folder


@pytest.fixture
def codes(made, monkeypatch):
    monkeypatch.chdir(made)
    return np.load("codes/codes.npy", mmap_mode="r")


def nearest_distances(codes, query):
    return np.sort(np.bitwise_count(codes ^ query).sum(axis=1))[:NEIGHBOURS].tolist()


@pytest.mark.slow
def test_a_vector_store_with_hamming_distance_finds_the_same_neighbours(codes, tmp_path):
    import lancedb
    import pyarrow as pa

    store = lancedb.connect(tmp_path / "store")
    vectors = pa.FixedSizeListArray.from_arrays(codes.ravel(), codes.shape[1])
    paths = Path("codes/ids.txt").read_text().splitlines()
    table = store.create_table("pictures", pa.table({"vector": vectors, "path": paths}))
    for i in (0, 7):
        rows = table.search(codes[i]).distance_type("hamming").limit(NEIGHBOURS).to_list()
        assert [int(row["_distance"]) for row in rows] == nearest_distances(codes, codes[i])
        place = paths.index(rows[-1]["path"])
        assert np.bitwise_count(codes[place] ^ codes[i]).sum() == rows[-1]["_distance"]


def test_faiss_over_shards_finds_the_same_neighbours_as_over_all_codes(codes):
    faiss = pytest.importorskip("faiss")
    queries = np.ascontiguousarray(codes[:5])

    def search_shard(rows):  # on the machine that holds them
        index = faiss.IndexBinaryFlat(8 * codes.shape[1])
        index.add(np.ascontiguousarray(codes[rows]))
        distance, place = index.search(queries, NEIGHBOURS)
        return distance, rows[place]

    answers = [search_shard(rows) for rows in np.array_split(np.arange(len(codes)), 4)]
    distance, number = (np.concatenate(parts, axis=1) for parts in zip(*answers, strict=True))
    best = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
    distance = np.take_along_axis(distance, best, axis=1)
    number = np.take_along_axis(number, best, axis=1)
    for query, found, numbers in zip(queries, distance, number, strict=True):
        assert found.tolist() == nearest_distances(codes, query)
        assert np.bitwise_count(codes[numbers] ^ query).sum(axis=1).tolist() == found.tolist()


@pytest.mark.slow
def test_an_exported_encoder_runs_without_flax_and_this_package(made, tmp_path):
    params = hashnet_jax.load(made / "run")
    shape = export.symbolic_shape("b, 20, 30, 3")
    encoder = export.export(
        jax.jit(lambda images: hashnet_jax.encode(params, images)), platforms=["cpu", "cuda", "tpu"]
    )(jax.ShapeDtypeStruct(shape, np.uint8))
    (tmp_path / "encoder.jax").write_bytes(encoder.serialize())
    images = np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    result = subprocess.run(
        [sys.executable, "-c", READER], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    expected = np.asarray(hashnet_jax.encode(params, images))
    for count in (1, 5):
        got = np.load(tmp_path / f"codes-{count}.npy")
        assert got.dtype == np.int8
        np.testing.assert_array_equal(got, expected[:count])
