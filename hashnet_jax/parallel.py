"""Where functions run: jitted on one device, pmapped on several. The only file that knows devices.

`jax.pmap` is in maintenance mode and, since JAX 0.10, jit of shard_map inside; it stays behind
this file. With several processes it maps over the devices of all, while each process gives and gets
its own rows.
"""

from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hashnet_jax.encode import encode
from hashnet_jax.model import features
from hashnet_jax.preprocess import preprocess
from hashnet_jax.step import train_step

AXIS = "devices"


def local_devices(count=None):
    """The first ``count`` local devices; all of them when left out.

    Raises:
      ValueError: if there are fewer.

    Examples:
      >>> len(local_devices(1))
      1
    """
    devices = jax.local_devices()
    if count is None:
        return devices
    if not 1 <= count <= len(devices):
        raise ValueError(
            f"the number of devices must be in 1..{len(devices)}, got {count}: this process sees "
            f"{len(devices)} of kind {devices[0].device_kind}."
        )
    return devices[:count]


def compile_step(devices):
    """A compiled ``train_step`` over ``devices``, and over as many of each other process.

    Args:
      devices: list of local devices, see :func:`local_devices`; the same number in each process.

    Returns:
      ``step(state, batch) -> (state, metrics)``. The leading axis of ``batch`` is the global batch,
      or of several processes this one's rows of it (:func:`hashnet_jax.processes.share`), and a
      multiple of the number of devices. The buffers of ``state`` are donated: use the returned
      state only.
    """
    everywhere = devices if jax.process_count() == 1 else _in_all_processes(len(devices))
    if len(everywhere) == 1:
        return _on_device(jax.jit(train_step, donate_argnums=0), devices[0])
    mapped = jax.pmap(
        partial(train_step, axis_name=AXIS),
        axis_name=AXIS,
        devices=everywhere,
        in_axes=(None, 0),
        out_axes=None,
        donate_argnums=0,
    )
    replicated = NamedSharding(Mesh(np.array(devices), (AXIS,)), PartitionSpec())

    def step(state, batch):
        # The first state has to be copied to all devices; the step returns it there.
        if state.step.sharding != replicated:
            state = jax.device_put(state, replicated)
        return mapped(state, split(batch, len(devices)))

    return step


def compile_encode(devices):
    """A compiled ``hashnet_jax.encode`` over ``devices``.

    Returns:
      ``encode(params, images) -> codes`` int8 ``[B, K]`` on images ``[B, ...]``, B a multiple of
      the number of devices.
    """
    return _compile_rows(encode, devices)


def compile_features(devices):
    """A compiled backbone over ``devices``.

    Returns:
      ``of(params, images) -> features`` ``[B, D]`` on images uint8 ``[B, H, W, 3]``, preprocessed
      as at use, B a multiple of the number of devices.
    """
    return _compile_rows(_features, devices)


def check_splits(batch_size, n_devices):
    """Raises ValueError unless ``batch_size`` is a multiple of ``n_devices`` in each process."""
    _check_multiple(batch_size, n_devices * jax.process_count())


def split(batch, n_devices):
    """Splits the leading axis of every leaf ``[B, ...]`` to ``[n_devices, B / n_devices, ...]``.

    Raises:
      ValueError: if B is not a multiple of ``n_devices``.

    Examples:
      >>> import numpy as np
      >>> split({"label": np.arange(6)}, 2)["label"]
      array([[0, 1, 2],
             [3, 4, 5]])
    """

    def split_leaf(leaf):
        _check_multiple(leaf.shape[0], n_devices)
        return leaf.reshape(n_devices, leaf.shape[0] // n_devices, *leaf.shape[1:])

    return jax.tree.map(split_leaf, batch)


@jax.jit
def _features(params, images):
    return features(params, preprocess(images, params.spec))


def _compile_rows(function, devices):
    """``function(params, images)``, jitted and giving a row an image, over ``devices``."""
    if len(devices) == 1:
        # As it is: another jit around it would compile it anew at each call of this.
        return _on_device(function, devices[0])
    mapped = jax.pmap(function, devices=devices, in_axes=(None, 0))

    def over_devices(params, images):
        rows = mapped(params, split(images, len(devices)))
        return rows.reshape(-1, rows.shape[-1])

    return over_devices


def _check_multiple(batch_size, n_devices):
    if batch_size % n_devices:
        raise ValueError(
            f"the batch size must be a multiple of the number of devices {n_devices}, got "
            f"{batch_size}: change --batch-size or --devices."
        )


def _in_all_processes(count):
    """The first ``count`` devices of each process, in the order of processes."""
    chosen = []
    for process in range(jax.process_count()):
        of_process = [d for d in jax.devices() if d.process_index == process]
        if len(of_process) < count:
            raise ValueError(
                f"each process must have as many devices, got {len(of_process)} in process "
                f"{process} and {count} in another: give --devices."
            )
        chosen += of_process[:count]
    return chosen


def _on_device(function, device):
    def run(*args):
        with jax.default_device(device):
            return function(*args)

    return run
