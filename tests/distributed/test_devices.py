"""Tests functions that run on one device or are mapped over several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hashnet_jax.distributed.devices import check_divisible, local_devices, map_rows, split_batch


@pytest.mark.parametrize("n_devices", [1, 2, 8])
def test_rows_come_back_in_order_from_any_number_of_devices(n_devices):
    rows = np.arange(32.0, dtype=np.float32).reshape(16, 2)
    doubled = map_rows(jax.jit(lambda scale, x: scale * x), local_devices(n_devices))
    np.testing.assert_array_equal(doubled(jnp.float32(2), rows), 2 * rows)


def test_a_batch_that_does_not_split_evenly_is_rejected():
    message = r"`batch_size` must be a multiple of the number of devices \(4\), got 6"
    with pytest.raises(ValueError, match=message):
        check_divisible(6, 4)
    with pytest.raises(ValueError, match=message):
        split_batch({"image": np.zeros((6, 2))}, 4)


def test_the_batch_splits_over_the_devices_of_all_processes(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    check_divisible(12, 2)
    with pytest.raises(ValueError, match=r"number of devices \(6\), got 8"):
        check_divisible(8, 2)


@pytest.mark.parametrize("count", [0, 9])
def test_zero_devices_and_more_than_exist_are_rejected(count):
    with pytest.raises(ValueError, match=r"number of devices must be in 1\.\.8, got"):
        local_devices(count)
