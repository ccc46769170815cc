"""The network, compiled for one batch size."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Array, UInt8

from hashnet_jax.codes import pack_bits
from hashnet_jax.distributed.devices import Device
from hashnet_jax.model import HashNetParams, encode


class Encoder:
    """Encodes up to ``batch_size`` pictures with a program that is compiled once.

    A smaller batch is padded with black pictures, so the code of a picture does not depend on how
    many requests arrive at the same time.

    Args:
      params: the network.
      batch_size: number of pictures per batch, >= 1.
      device: the device to use, from :func:`hashnet_jax.distributed.devices.local_devices`.

    Raises:
      ValueError: if ``batch_size`` < 1.
    """

    def __init__(self, params: HashNetParams, *, batch_size: int, device: Device) -> None:
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be >= 1, got {batch_size}.")
        self.batch_size, self.side = batch_size, params.spec.resize
        self._device = device
        self._params = jax.device_put(params, device)

    def compile(self) -> None:
        """Compiles the network, unless it has already been compiled."""
        self([np.zeros((self.side, self.side, 3), np.uint8)])

    def __call__(
        self, pictures: Sequence[UInt8[np.ndarray, "S S 3"]]
    ) -> list[UInt8[np.ndarray, " bytes"]]:
        """Encodes pictures.

        Args:
          pictures: 1 to ``batch_size`` squashed pictures, uint8 ``[side, side, 3]``.

        Returns:
          The packed code of each picture, uint8 ``[ceil(K/8)]``.
        """
        batch = np.zeros((self.batch_size, self.side, self.side, 3), np.uint8)
        batch[: len(pictures)] = pictures
        with jax.default_device(self._device):
            return list(np.asarray(_packed(self._params, batch))[: len(pictures)])


@jax.jit
def _packed(
    params: HashNetParams, images: UInt8[Array | np.ndarray, "B H W 3"]
) -> UInt8[Array, "B bytes"]:
    return pack_bits(encode(params, images))
