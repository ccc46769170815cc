"""Codes of whole data sets: the right ones, in order, and compiled once whatever their number."""

import contextlib

import jax
import numpy as np
import pytest
from cli_case import make_pictures

import hashnet_jax
from hashnet_jax import parallel
from hashnet_jax.cli.stream import encode_pictures
from hashnet_jax.data.sources import ArraySource
from hashnet_jax.evaluation import encode_all, encode_batches

SPEC = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)


@pytest.fixture(scope="module")
def params():
    return hashnet_jax.init(jax.random.key(0), SPEC)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3)).astype(np.uint8)


@contextlib.contextmanager
def compilations():
    """A list that grows by an entry for each program that XLA compiles."""
    seen = []

    def note(name, seconds, **kwargs):
        if name == "/jax/core/compile/backend_compile_duration":
            seen.append(kwargs.get("fun_name", name))

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


@pytest.mark.parametrize("n_devices", [1, 2])
def test_any_number_of_images_is_encoded_by_what_the_first_compiled(params, images, n_devices):
    settings = {"devices": parallel.local_devices(n_devices), "batch_size": 16}
    jax.clear_caches()  # of what other tests have compiled
    with compilations() as first:
        encode_all(params, ArraySource(images), np.arange(16), **settings)
    assert first
    with compilations() as later:
        for n in (1, 7, 16, 33, 50):
            assert len(encode_all(params, ArraySource(images), np.arange(n), **settings)) == n
    assert later == []


def test_any_number_of_pictures_is_encoded_by_what_the_first_compiled(params, tmp_path):
    paths = sorted(make_pictures(tmp_path, 21).iterdir())
    settings = {"devices": parallel.local_devices(1), "batch_size": 8}
    list(encode_pictures(params, paths[:8], **settings))
    with compilations() as later:
        for n in (1, 7, 21):
            batches = list(encode_pictures(params, paths[:n], **settings))
            assert sum(len(packed) for _, _, packed in batches) == n
    assert later == []


def test_codes_keep_the_order_of_their_images(params, images):
    indices = np.random.default_rng(1).permutation(50)
    settings = {"devices": parallel.local_devices(1), "batch_size": 16}
    packed = encode_all(params, ArraySource(images), indices, **settings)
    expected = hashnet_jax.pack_bits(hashnet_jax.encode(params, images[indices]))
    np.testing.assert_array_equal(packed, expected)


def test_the_next_batch_is_fetched_before_the_codes_of_one_are_asked_for(params, images):
    fetched = []

    def batches():
        for i in range(4):
            fetched.append(i)
            yield i, images[:16]

    devices = parallel.local_devices(1)
    ahead = [(what, len(fetched)) for what, _ in encode_batches(params, batches(), devices=devices)]
    assert ahead == [(0, 2), (1, 3), (2, 4), (3, 4)]
