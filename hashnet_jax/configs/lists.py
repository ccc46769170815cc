"""Any data set defined by list files in the field's usual format, such as NUS-WIDE.

    hashnet train --dataset lists --lists DIR --image-root DIR

Protocol: the list files define the training images, the queries and the database.
Hyperparameters: as for coco, with R = 5000 as usual for NUS-WIDE. Other lists need their own
cut-off: --cutoff 1000 for the authors' ImageNet-100.
Expected: the paper reports MAP@5000 .7114 on NUS-WIDE at 48 bits, from ImageNet weights (recalled,
not checked against its PDF). Not yet run at full size, so the time is unknown.
"""

import dataclasses

from hashnet_jax.configs import coco
from hashnet_jax.data import Options

CONFIG = dataclasses.replace(coco.CONFIG, dataset="lists", data=Options())
