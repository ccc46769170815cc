"""COCO 2014 with the paper's protocol.

    hashnet train --dataset coco --data-dir DIR --pretrained alexnet-owt-7be5be79.pth

Protocol: of the 122,218 labelled images, 5,000 are queries and the rest is the database, which
includes the 10,000 training images. The authors' database list also contains the queries; ours does
not.
Hyperparameters: steps, batch size and learning rates as for imagenet100; R = 5000 as in the paper.
Expected: the paper reports MAP@5000 .7301 at 48 bits, from ImageNet weights (recalled, not checked
against its PDF). Not yet run at full size, so the time is unknown.
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
