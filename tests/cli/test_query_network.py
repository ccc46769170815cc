"""Tests for the network of a search and its traced program."""

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax import weights
from hashnet_jax.cli import _query_network
from hashnet_jax.cli._query_network import load_query_network
from hashnet_jax.index import query_logits

SPEC = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
SETTINGS = ("jax_compilation_cache_dir", "jax_enable_compilation_cache")


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


def kept(cache):
    return sorted((cache / "traced").iterdir()) if cache.exists() else []


def test_a_kept_program_is_not_traced_again_and_computes_the_same_bits(run_dir, cache, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    expected = query_logits(weights.load(run_dir), images)
    load_query_network(run_dir, 2)
    monkeypatch.setattr(_query_network, "_trace", lambda *args: pytest.fail("traced again"))
    monkeypatch.setattr(weights._model_file, "init", lambda *args: pytest.fail("traced again"))
    network = load_query_network(run_dir, 2)
    np.testing.assert_array_equal(network.program(network.params, images), expected)
    assert network.params.spec == SPEC


def test_programs_of_other_specs_batch_sizes_versions_and_settings_are_kept_apart(
    run_dir, cache, monkeypatch
):
    load_query_network(run_dir, 1)
    load_query_network(run_dir, 2)
    assert len(kept(cache)) == 2
    monkeypatch.setattr(_query_network, "version", lambda name: "0.0")
    load_query_network(run_dir, 1)
    assert len(kept(cache)) == 3
    monkeypatch.setattr(_query_network, "_TRACED_PACKAGES", ("layers",))  # as if code had changed
    load_query_network(run_dir, 1)
    assert len(kept(cache)) == 4
    with jax.default_matmul_precision("highest"):
        load_query_network(run_dir, 1)
    assert len(kept(cache)) == 5
    weights.save(run_dir, hashnet_jax.init(jax.random.key(0), hashnet_jax.ModelSpec("small_cnn")))
    assert load_query_network(run_dir, 1).params.spec.bits == 48
    assert len(kept(cache)) == 6


@pytest.mark.parametrize("damage", [b"", b"0" * 100, None])
def test_a_damaged_program_is_traced_and_kept_again(run_dir, cache, damage, monkeypatch):
    load_query_network(run_dir, 1)
    traced, trace = [], _query_network._trace
    monkeypatch.setattr(_query_network, "_trace", lambda *args: traced.append(args) or trace(*args))
    (path,) = kept(cache)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
    network = load_query_network(run_dir, 1)
    assert network.program(network.params, np.zeros((1, 8, 8, 3), np.uint8)).shape == (1, 12)
    assert len(path.read_bytes()) == len(whole)
    assert len(traced) == 1


def test_nothing_is_kept_without_the_compilation_cache(run_dir, cache):
    jax.config.update("jax_enable_compilation_cache", False)
    load_query_network(run_dir, 1)
    assert kept(cache) == []
    jax.config.update("jax_enable_compilation_cache", True)
    for folder in (None, "gs://bucket/cache"):
        jax.config.update("jax_compilation_cache_dir", folder)
        load_query_network(run_dir, 1)
    assert kept(cache) == []


def test_a_search_works_if_the_cache_folder_cannot_be_written(run_dir, cache, monkeypatch):
    cache.write_text("a file in its place")
    load_query_network(run_dir, 1)
    cache.unlink()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(_query_network, "write_whole", fail)
    load_query_network(run_dir, 1)
    assert kept(cache) == []


def test_the_oldest_programs_are_deleted(run_dir, cache, monkeypatch):
    monkeypatch.setattr(_query_network, "MAX_PROGRAMS", 2)
    for batch_size in (1, 2, 4):
        load_query_network(run_dir, batch_size)
    assert len(kept(cache)) == 2


def test_a_network_with_nan_is_rejected_also_with_a_kept_program(run_dir, cache):
    load_query_network(run_dir, 1)
    broken = jax.tree.map(lambda leaf: leaf * np.nan, weights.load(run_dir))
    weights.save(run_dir, broken)
    with pytest.raises(ValueError, match="must be finite"):
        load_query_network(run_dir, 1)
