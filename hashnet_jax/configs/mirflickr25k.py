"""MIRFLICKR-25000 with 24 concepts.

    hashnet train --dataset mirflickr25k --image-root DIR --pretrained alexnet-owt-7be5be79.pth

Protocol: 2,000 queries, drawn from the 24,581 images that have a label; the rest form the database,
which includes the 10,000 training images. The sizes are those of the code of MITH (ACM MM 2023).
Many papers train on 5,000 images (set --train-images 5000). Those that also use the texts keep only
the 20,015 images with enough text.
Hyperparameters: the same as for coco, but all of the database is ranked.
Expected: we know of no published figure of HashNet with this protocol. This config has not been run
on MIRFLICKR-25000, so the training time is unknown.
"""

import dataclasses

from hashnet_jax.configs import coco
from hashnet_jax.data import Options

CONFIG = dataclasses.replace(
    coco.CONFIG,
    dataset="mirflickr25k",
    data=Options(queries=2_000, train_images=10_000, train_in_database=True),
    cutoff=None,
)
