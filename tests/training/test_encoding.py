"""Tests encoding whole data sets, in order and with a single compiled program."""

import contextlib

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax.data import ArraySource
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.index import encode_pictures
from hashnet_jax.training import encode_batches, encode_dataset
from tests.support.cli_case import make_pictures
from tests.support.same_codes import assert_codes_of

SPEC = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)


@pytest.fixture(scope="module")
def params():
    return hashnet_jax.init(jax.random.key(0), SPEC)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3)).astype(np.uint8)


@contextlib.contextmanager
def compilations():
    """Returns a list that gets an entry for each program XLA compiles during the test."""
    seen = []

    def note(name, seconds, **kwargs):
        if name == "/jax/core/compile/backend_compile_duration":
            seen.append(kwargs.get("fun_name", name))

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


@pytest.mark.slow
@pytest.mark.parametrize("n_devices", [1, 2])
def test_the_program_compiled_first_encodes_any_number_of_images(params, images, n_devices):
    settings = {"devices": local_devices(n_devices), "batch_size": 16}
    jax.clear_caches()  # other tests compile the same program
    with compilations() as first:
        encode_dataset(params, ArraySource(images), np.arange(16), **settings)
    assert first
    with compilations() as later:
        for n in (1, 7, 16, 33, 50):
            assert len(encode_dataset(params, ArraySource(images), np.arange(n), **settings)) == n
    assert later == []


def test_the_program_compiled_first_encodes_any_number_of_pictures(params, tmp_path):
    paths = sorted(make_pictures(tmp_path, 21).iterdir())
    settings = {"devices": local_devices(1), "batch_size": 8}
    list(encode_pictures(params, paths[:8], **settings))
    with compilations() as later:
        for n in (1, 7, 21):
            batches = list(encode_pictures(params, paths[:n], **settings))
            assert sum(len(packed) for _, _, packed in batches) == n
    assert later == []


@pytest.mark.slow
def test_codes_are_in_the_order_of_their_images(params, images):
    indices = np.random.default_rng(1).permutation(50)
    settings = {"devices": local_devices(1), "batch_size": 16}
    packed = encode_dataset(params, ArraySource(images), indices, **settings)
    assert_codes_of(params, images[indices], packed)


def test_the_next_batch_is_fetched_before_the_codes_of_a_batch_are_returned(params, images):
    fetched = []

    def batches():
        for i in range(4):
            fetched.append(i)
            yield i, images[:16]

    devices = local_devices(1)
    ahead = [(tag, len(fetched)) for tag, _ in encode_batches(params, batches(), devices=devices)]
    assert ahead == [(0, 2), (1, 3), (2, 4), (3, 4)]
