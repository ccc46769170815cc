"""NUS-WIDE with all 81 concepts and the paper's protocol.

    hashnet train --dataset nuswide --image-root DIR --pretrained alexnet-owt-7be5be79.pth

Protocol: 5,000 queries, drawn from the images that have a label; the rest form the database, which
includes the 10,000 training images. The authors' published lists contain 223,496 images, of which
22 % have no label; to use them, see `--dataset lists`.
Hyperparameters: the same as for coco, including R = 5000.
Expected: the paper reports a MAP@5000 of .7114 for 48 bits, starting from ImageNet weights (quoted
from memory, not checked against the PDF). This config has not been run on NUS-WIDE, so the training
time is unknown.
"""

import dataclasses

from hashnet_jax.configs import coco

CONFIG = dataclasses.replace(coco.CONFIG, dataset="nuswide")
