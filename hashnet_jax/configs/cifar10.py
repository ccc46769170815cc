"""CIFAR-10 with the usual protocol, trained from scratch.

    hashnet train --dataset cifar10

Protocol: there are 100 queries and 500 training images per class. The database contains the
59,000 images that are not queries, and MAP is computed over the whole database. Some papers also
exclude the training images, which leaves 54,000 images in the database. To follow them, use
--database rest-without-train.
Hyperparameters: the learning rate and batch size were tuned as described in `_from_scratch`.
Expected: not measured yet. No published result is comparable, since other work fine-tunes
AlexNet.
"""

import dataclasses

from hashnet_jax.configs._config import Config
from hashnet_jax.configs._from_scratch import FROM_SCRATCH
from hashnet_jax.data import Options
from hashnet_jax.model import ModelSpec

CONFIG = Config(
    dataset="cifar10",
    model=ModelSpec(
        "small_cnn",
        image_size=32,
        resize=32,
        mean=(0.491, 0.482, 0.447),
        std=(0.247, 0.243, 0.262),
    ),
    train=dataclasses.replace(FROM_SCRATCH, total_steps=3_000, learning_rate=0.15),
    data=Options(queries_per_class=100, train_per_class=500, train_in_database=True),
    augmentation="shift_flip",
    batch_size=128,
)
