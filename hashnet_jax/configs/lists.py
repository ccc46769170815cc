"""Any data set with list files in the format common in deep hashing, such as NUS-WIDE.

    hashnet train --dataset lists --lists DIR --image-root DIR

Protocol: the list files define the training images, the queries and the database.
Hyperparameters: same as for coco, including R = 5000, which is the usual cut-off for NUS-WIDE. Set
--cutoff for other lists, e.g. --cutoff 1000 for the authors' ImageNet-100.
Expected: the paper reports a MAP@5000 of .7114 on NUS-WIDE for 48 bits, starting from ImageNet
weights (quoted from memory, not checked against the PDF). This config has not been run on NUS-WIDE,
so the training time is unknown.
"""

import dataclasses

from hashnet_jax.configs import coco
from hashnet_jax.data import Options

CONFIG = dataclasses.replace(coco.CONFIG, dataset="lists", data=Options())
