"""Any folder of pictures with one subfolder per class, or a CSV file of paths and labels.

    hashnet train --dataset folder --image-root DIR
    hashnet train --dataset folder --image-root DIR --backbone efficientnet_lite0 \\
        --pretrained auto --freeze-backbone

Protocol: in each class, a tenth of the pictures (up to 100) are queries. All other pictures
are used for training and form the database.
Hyperparameters: by default, a small network is trained from scratch, which works on any machine.
The second command is faster than the first and gives better results.
Expected: the MAP depends on the pictures, so there is no published result to compare with.
"""

import dataclasses

from hashnet_jax.backbones import IMAGENET_MEAN, IMAGENET_STD
from hashnet_jax.configs._config import Config
from hashnet_jax.configs._from_scratch import FROM_SCRATCH
from hashnet_jax.data import Options
from hashnet_jax.model import ModelSpec

CONFIG = Config(
    dataset="folder",
    model=ModelSpec("small_cnn", image_size=64, resize=72, mean=IMAGENET_MEAN, std=IMAGENET_STD),
    train=dataclasses.replace(FROM_SCRATCH, total_steps=2_000),
    data=Options(),
    augmentation="resized_crop_flip",
    batch_size=32,
)
