"""COCO 2014 with the paper's protocol.

    hashnet train --dataset coco --data-dir DIR --pretrained alexnet-owt-7be5be79.pth

Protocol: of the 122,218 labelled images, 5,000 are queries and the rest form the database, which
includes the 10,000 training images. Unlike the authors' database list, it does not contain the
queries.
Hyperparameters: the number of steps, batch size and learning rates are the same as for imagenet100.
The cut-off R = 5000 is from the paper.
Expected: the paper reports a MAP@5000 of .7301 for 48 bits, starting from ImageNet weights (quoted
from memory, not checked against the PDF). This config has not been run on the full data set, so the
training time is unknown.
"""

import dataclasses

from hashnet_jax.configs import imagenet100
from hashnet_jax.data import Options

CONFIG = dataclasses.replace(
    imagenet100.CONFIG,
    dataset="coco",
    data=Options(queries=5_000, train_images=10_000, train_in_database=True),
    cutoff=5000,
)
