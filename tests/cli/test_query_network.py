"""Tests for the network of a search and its compiled program."""

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax import weights
from hashnet_jax.cli import _query_network, _query_program
from hashnet_jax.cli._query_network import load_query_network
from hashnet_jax.model import logits, preprocess

SPEC = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=10)
SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_enable_compilation_cache",
    "jax_persistent_cache_min_compile_time_secs",
)


@pytest.fixture
def run_dir(tmp_path):
    weights.save(tmp_path, hashnet_jax.init(jax.random.key(0), SPEC))
    return tmp_path


@pytest.fixture
def cache(tmp_path):
    """An empty compilation cache."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "cache"))
    jax.config.update("jax_enable_compilation_cache", True)
    yield tmp_path / "cache"
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def compiled(monkeypatch):
    """The batch sizes of the programs that have been compiled."""
    batch_sizes, compile_program = [], _query_program.compile_program

    def record(run_dir, model, batch_size, **kwargs):
        batch_sizes.append(batch_size)
        return compile_program(run_dir, model, batch_size, **kwargs)

    monkeypatch.setattr(_query_program, "compile_program", record)
    return batch_sizes


def load(run_dir, batch_size=1):
    return load_query_network(run_dir, weights.read_arrays(run_dir), batch_size)


def kept(cache):
    return sorted((cache / "queries").iterdir()) if cache.exists() else []


def test_a_kept_program_is_not_compiled_again_and_computes_the_same_bits(run_dir, cache, compiled):
    images = np.random.default_rng(0).integers(0, 256, (2, 10, 10, 3), np.uint8)
    params = weights.load(run_dir)
    expected = jax.jit(lambda images: logits(params, preprocess(images, SPEC)))(images)
    before = load(run_dir, 2)(images)
    np.testing.assert_allclose(before, expected, rtol=1e-5, atol=1e-6)
    assert compiled == [2]
    network = load(run_dir, 2)
    np.testing.assert_array_equal(network(images), before)
    assert network.side == 10
    assert compiled == [2]


def test_a_kept_program_serves_another_network_of_the_same_spec(run_dir, cache, compiled):
    images = np.full((1, 10, 10, 3), 9, np.uint8)
    first = load(run_dir)(images)
    weights.save(run_dir, hashnet_jax.init(jax.random.key(1), SPEC))
    second = load(run_dir)(images)
    assert compiled == [1]
    assert not np.array_equal(first, second)
    expected = logits(weights.load(run_dir), preprocess(images, SPEC))
    np.testing.assert_allclose(second, expected, rtol=1e-5, atol=1e-6)


def test_programs_of_other_specs_batch_sizes_versions_and_settings_are_kept_apart(
    run_dir, cache, monkeypatch
):
    load(run_dir, 1)
    load(run_dir, 2)
    assert len(kept(cache)) == 2
    monkeypatch.setattr(_query_network, "version", lambda name: "0.0")
    load(run_dir)
    assert len(kept(cache)) == 3
    monkeypatch.setattr(_query_network, "_TRACED_PACKAGES", ("layers",))  # as if code had changed
    load(run_dir)
    assert len(kept(cache)) == 4
    with jax.default_matmul_precision("highest"):
        load(run_dir)
    assert len(kept(cache)) == 5
    monkeypatch.setenv("XLA_FLAGS", "")
    load(run_dir)
    assert len(kept(cache)) == 6
    monkeypatch.setattr(_query_network._compilation_cache, "processor", lambda: "another")
    load(run_dir)
    assert len(kept(cache)) == 7
    weights.save(run_dir, hashnet_jax.init(jax.random.key(0), hashnet_jax.ModelSpec("small_cnn")))
    assert load(run_dir)(np.zeros((1, 256, 256, 3), np.uint8)).shape == (1, 48)
    assert len(kept(cache)) == 8


@pytest.mark.parametrize("damage", [b"", b"0" * 100, None])
def test_a_damaged_program_is_compiled_and_kept_again(run_dir, cache, damage, compiled):
    load(run_dir)
    (path,) = kept(cache)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
    network = load(run_dir)
    assert network(np.zeros((1, 10, 10, 3), np.uint8)).shape == (1, 12)
    assert len(path.read_bytes()) > 1000
    assert compiled == [1, 1]
    load(run_dir)
    assert compiled == [1, 1]


@pytest.mark.parametrize("error", [jax.errors.JaxRuntimeError, AttributeError])
def test_a_program_that_the_backend_does_not_load_is_compiled_again(
    run_dir, cache, compiled, monkeypatch, error
):
    load(run_dir)

    def fail(*args, **kwargs):
        raise error("NOT_FOUND")

    with monkeypatch.context() as patch:
        patch.setattr(_query_network.serialize_executable, "deserialize_and_load", fail)
        network = load(run_dir)
    assert network(np.zeros((1, 10, 10, 3), np.uint8)).shape == (1, 12)
    assert compiled == [1, 1]


def test_a_program_that_computes_something_else_when_loaded_is_not_kept(
    run_dir, cache, monkeypatch
):
    def zeros(arrays, images):
        return np.zeros((1, 12), np.float32)

    monkeypatch.setattr(_query_network, "_loaded", lambda *args: zeros)
    network = load(run_dir)
    assert network(np.zeros((1, 10, 10, 3), np.uint8)).any()
    assert kept(cache) == []


def test_nothing_is_kept_without_the_compilation_cache(run_dir, cache):
    jax.config.update("jax_enable_compilation_cache", False)
    load(run_dir)
    assert kept(cache) == []
    jax.config.update("jax_enable_compilation_cache", True)
    for folder in (None, "gs://bucket/cache"):
        jax.config.update("jax_compilation_cache_dir", folder)
        load(run_dir)
    assert kept(cache) == []


def test_the_setting_for_other_programs_is_restored(run_dir, cache):
    name = "jax_persistent_cache_min_compile_time_secs"
    jax.config.update(name, 0.25)
    load(run_dir)
    assert getattr(jax.config, name) == 0.25


def test_a_search_works_if_the_cache_folder_cannot_be_written(run_dir, cache, monkeypatch):
    cache.write_text("a file in its place")
    load(run_dir)
    cache.unlink()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(_query_network, "write_whole", fail)
    load(run_dir)
    assert kept(cache) == []


def test_the_oldest_programs_are_deleted(run_dir, cache, monkeypatch):
    monkeypatch.setattr(_query_network, "MAX_PROGRAMS", 2)
    for batch_size in (1, 2, 4):
        load(run_dir, batch_size)
    assert len(kept(cache)) == 2


def test_a_network_with_nan_is_rejected_also_with_a_kept_program(run_dir, cache):
    load(run_dir)
    broken = jax.tree.map(lambda leaf: leaf * np.nan, weights.load(run_dir))
    weights.save(run_dir, broken)
    with pytest.raises(ValueError, match="must be finite"):
        load(run_dir)


def test_arrays_that_do_not_match_the_spec_are_rejected_also_with_a_kept_program(run_dir, cache):
    load(run_dir)
    path = run_dir / "model.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{**arrays, "params/hash/bias": np.zeros(13, np.float32)})
    with pytest.raises(ValueError, match="its arrays do not match its spec"):
        load(run_dir)
    np.savez(path, **{**arrays, "params": np.zeros(13, np.float32)})
    with pytest.raises(ValueError, match="its arrays do not match its spec"):
        load(run_dir)


def test_a_program_that_belongs_to_another_user_is_not_loaded(
    run_dir, cache, compiled, monkeypatch
):
    load(run_dir)
    monkeypatch.setattr(_query_network.os, "getuid", lambda: -1)
    load(run_dir)
    assert compiled == [1, 1]


def test_nothing_is_kept_if_the_backend_cannot_serialize_programs(run_dir, cache, monkeypatch):
    def fail(program):
        raise NotImplementedError

    monkeypatch.setattr(_query_network.serialize_executable, "serialize", fail)
    assert load(run_dir)(np.zeros((1, 10, 10, 3), np.uint8)).shape == (1, 12)
    assert kept(cache) == []
