"""The train step, images to updated parameters, against the same in PyTorch."""

import jax
import numpy as np
from measuring import Row, count_flops, measure, missing

from hashnet_jax import ModelSpec, parallel
from hashnet_jax.optim import TrainSpec
from hashnet_jax.state import init_state
from hashnet_jax.step import train_step

PEERS = {
    "PyTorch eager": {},
    "PyTorch eager, channels_last": {"channels_last": True},
    "PyTorch compile": {"compiled": True},
}


def model_spec(backbone, options):
    size = options.image_size
    return ModelSpec(backbone, options.bits, image_size=size, resize=size, dtype=options.dtype)


def random_batch(n, size):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, size, size, 3), np.uint8)
    return {"image": images, "label": rng.integers(0, 10, n)}


class JaxStep:
    """The compiled step on its devices; the state stays there, as in training."""

    def __init__(self, backbone, options):
        devices = parallel.local_devices(options.devices)
        self.state = init_state(
            jax.random.key(0), model_spec(backbone, options), TrainSpec(learning_rate=1e-5)
        )
        self.batch = random_batch(options.batch_size, options.image_size)
        self.step = parallel.compile_step(devices)

    def flops(self):
        return count_flops(train_step, self.state, self.batch)

    def __call__(self):
        self.state, metrics = self.step(self.state, self.batch)
        return metrics["loss"]


def peers(suite, case, backbone, options, method):
    """(Row, function) of each PyTorch peer that is there, and the rows of those that are not."""
    ready, absent = [], []
    names = [
        name
        for name, how in PEERS.items()
        if options.peers == "all" or "compiled" not in how
        if wanted(name, options)
    ]
    for name in names if options.peers != "none" else ():
        try:
            from torch_peers import Peer

            batch = random_batch(options.batch_size, options.image_size)
            peer = Peer(backbone, batch, options.bits, dtype=options.dtype, **PEERS[name])
        except (ImportError, RuntimeError) as error:
            absent.append(missing(suite, case, name, error))
            continue
        row = Row(suite, case, name, items=options.batch_size, unit="images")
        ready.append((row, getattr(peer, method)))
    return ready, absent


def wanted(name, options):
    """Whether ``--only`` leaves this contender; another one is not even built."""
    return options.only in (None, name)


def run(options):
    for backbone in options.backbone:
        case = (
            f"{backbone}, batch {options.batch_size}, {options.image_size} px, {options.dtype}, "
            f"{options.devices} device(s)"
        )
        contenders, absent = peers("train", case, backbone, options, "train_step")
        if wanted("hashnet_jax", options):
            step = JaxStep(backbone, options)
            row = Row("train", case, "hashnet_jax", items=options.batch_size, unit="images")
            row.flops = step.flops() / options.devices
            contenders.insert(0, (row, step))
        yield from measure(contenders, options.repeats)
        yield from absent
