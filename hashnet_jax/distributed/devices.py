"""Runs functions on one device, or maps them over several.

`jax.pmap` is in maintenance mode and has been implemented as a jit of `shard_map` since JAX 0.10.
No code outside `distributed` depends on `jax.pmap`. With several processes, functions are mapped
over the devices of all processes, and each process passes and receives only its own rows.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

if TYPE_CHECKING:
    Device = Any  # jaxlib has no stubs, so type checkers reject `jax.Device` as a type.
else:
    Device = jax.Device

AXIS = "devices"


def local_devices(count: int | None = None) -> list[Device]:
    """Returns the first ``count`` devices of this process, or all of them by default.

    Args:
      count: number of devices, >= 1; None for all.

    Raises:
      ValueError: if this process has fewer than ``count`` devices.

    Examples:
      >>> len(local_devices(1))
      1
    """
    devices = jax.local_devices()
    if count is None:
        return devices
    if not 1 <= count <= len(devices):
        raise ValueError(
            f"the number of devices must be in 1..{len(devices)}, got {count}. This process sees "
            f"{len(devices)} x {devices[0].device_kind}. Change `devices`."
        )
    return devices[:count]


def map_step(
    train_step: Callable[..., tuple[Any, Any]], devices: Sequence[Device]
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Compiles a train step for ``devices`` and the same number of devices in every other process.

    Args:
      train_step: pure function ``(state, batch, *, axis_name=None) -> (state, metrics)``; for
        more than one device, the state must have an array attribute ``step``.
      devices: local devices, see :func:`local_devices`; the same number in each process.

    Returns:
      ``step(state, batch) -> (state, metrics)``. The leading axis of ``batch`` is the global batch
      or, with several processes, this process's rows
      (:func:`hashnet_jax.distributed.processes.share`); its length must be a multiple of the number
      of devices. The buffers of ``state`` are donated: use only the returned state.

    Raises:
      ValueError: if another process has fewer devices than there are in ``devices``. ``step``
        raises a ValueError if the batch cannot be split evenly.

    Examples:
      >>> import jax.numpy as jnp
      >>> state = {"sum": jnp.zeros(())}
      >>> def add(state, batch, *, axis_name=None):
      ...     return {"sum": state["sum"] + batch.sum()}, {"mean": batch.mean()}
      >>> state, metrics = map_step(add, local_devices(1))(state, jnp.arange(4.0))
      >>> float(state["sum"]), float(metrics["mean"])
      (6.0, 1.5)
    """
    is_alone = jax.process_count() == 1
    all_devices = devices if is_alone else _devices_of_all_processes(len(devices))
    if len(all_devices) == 1:
        return _on_device(jax.jit(train_step, donate_argnums=0), devices[0])
    mapped = jax.pmap(
        partial(train_step, axis_name=AXIS),
        axis_name=AXIS,
        devices=all_devices,
        in_axes=(None, 0),
        out_axes=None,
        donate_argnums=0,
    )
    replicated = NamedSharding(Mesh(np.array(devices), (AXIS,)), PartitionSpec())

    def step(state: Any, batch: Any) -> tuple[Any, Any]:
        # Only the first state must be copied to all devices; later ones are already replicated.
        if state.step.sharding != replicated:
            state = jax.device_put(state, replicated)
        return mapped(state, split_batch(batch, len(devices)))

    return step


def map_rows(
    function: Callable[[Any, Any], jax.Array], devices: Sequence[Device]
) -> Callable[[Any, Any], jax.Array]:
    """Maps a row-wise function over ``devices``.

    Args:
      function: ``(params, rows [B, ...]) -> [B, D]``, where each row of the result depends only on
        ``params`` and the corresponding input row. It should already be jitted: on one device it
        is called as is.
      devices: local devices, see :func:`local_devices`.

    Returns:
      A function with the same signature; B must be a multiple of the number of devices.

    Examples:
      >>> import jax.numpy as jnp
      >>> scale = map_rows(jax.jit(lambda factor, rows: factor * rows), local_devices(1))
      >>> scale(2.0, jnp.ones((4, 3))).shape
      (4, 3)
    """
    if len(devices) == 1:
        # Wrapping it in another jit would recompile it on each call to map_rows.
        return _on_device(function, devices[0])
    mapped = jax.pmap(function, devices=devices, in_axes=(None, 0))

    def over_devices(params: Any, rows: Any) -> jax.Array:
        results = mapped(params, split_batch(rows, len(devices)))
        return results.reshape(-1, results.shape[-1])

    return over_devices


def check_divisible(batch_size: int, n_devices: int) -> None:
    """Checks that a global batch splits evenly over all processes, each with ``n_devices`` devices.

    Raises:
      ValueError: if ``batch_size`` is not a multiple of the total number of devices.

    Examples:
      >>> check_divisible(6, 4)
      Traceback (most recent call last):
      ...
      ValueError: `batch_size` must be a multiple of the number of devices (4), got 6. ...
    """
    _check_multiple(batch_size, n_devices * jax.process_count())


def split_batch(batch: Any, n_devices: int) -> Any:
    """Splits the leading axis of every leaf ``[B, ...]`` into ``[n_devices, B / n_devices, ...]``.

    Args:
      batch: pytree of arrays with leading axes of equal length.
      n_devices: number of devices, >= 1.

    Raises:
      ValueError: if B is not a multiple of ``n_devices``.

    Examples:
      >>> import numpy as np
      >>> split_batch({"label": np.arange(6)}, 2)["label"]
      array([[0, 1, 2],
             [3, 4, 5]])
    """

    def split_leaf(leaf: Any) -> Any:
        _check_multiple(leaf.shape[0], n_devices)
        return leaf.reshape(n_devices, leaf.shape[0] // n_devices, *leaf.shape[1:])

    return jax.tree.map(split_leaf, batch)


def _check_multiple(batch_size: int, n_devices: int) -> None:
    if batch_size % n_devices:
        raise ValueError(
            f"`batch_size` must be a multiple of the number of devices ({n_devices}), got "
            f"{batch_size}. Change `batch_size` or `devices`."
        )


def _devices_of_all_processes(count: int) -> list[Device]:
    """Returns the first ``count`` devices of each process, in process order."""
    chosen = []
    for process in range(jax.process_count()):
        found = [device for device in jax.devices() if device.process_index == process]
        if len(found) < count:
            raise ValueError(
                f"all processes must use the same number of devices, but process {process} has "
                f"only {len(found)} and another uses {count}. Pass the same `devices` in every "
                "process."
            )
        chosen += found[:count]
    return chosen


def _on_device(function: Callable[..., Any], device: Device) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        with jax.default_device(device):
            return function(*args)

    return run
