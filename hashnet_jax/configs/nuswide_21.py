"""NUS-WIDE with its 21 most frequent concepts, and the protocol of most papers since.

    hashnet train --dataset nuswide_21 --image-root DIR --pretrained alexnet-owt-7be5be79.pth

Protocol: of the 195,834 images with one of these concepts, 100 per concept are queries (2,100 in
total). The rest form the database, which includes 500 training images per concept (10,500), as in
DeepHash-pytorch and in the code of MITH (ACM MM 2023).
Hyperparameters: the same as for coco, including R = 5000.
Expected: DeepHash-pytorch reports a MAP@5000 of .830 for HashNet with 48 bits, starting from
ImageNet weights. This config has not been run on NUS-WIDE, so the training time is unknown.
"""

import dataclasses

from hashnet_jax.configs import coco
from hashnet_jax.data import Options

CONFIG = dataclasses.replace(
    coco.CONFIG,
    dataset="nuswide_21",
    data=Options(queries_per_class=100, train_per_class=500, train_in_database=True),
)
