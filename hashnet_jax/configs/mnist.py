"""MNIST with CIFAR-10's protocol.

    hashnet train --dataset mnist

Protocol and hyperparameters: same as for fashion_mnist, but without horizontal flips, since
mirrored digits are not valid digits.
Expected: not measured yet.
"""

import dataclasses

from hashnet_jax.configs import fashion_mnist
from hashnet_jax.model import ModelSpec

CONFIG = dataclasses.replace(
    fashion_mnist.CONFIG,
    dataset="mnist",
    model=ModelSpec(
        "small_cnn", image_size=28, resize=28, mean=(0.131, 0.131, 0.131), std=(0.308, 0.308, 0.308)
    ),
    augmentation="shift",
)
