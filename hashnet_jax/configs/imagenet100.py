"""ImageNet-100 with the paper's protocol.

    hashnet train --dataset imagenet100 --data-dir DIR --pretrained alexnet-owt-7be5be79.pth

Protocol: 100 classes of ILSVRC2012. The queries are its 5,000 validation images, the database is
all its training images, and 100 images per class are used for training, as in the paper. The
authors' published lists use 130: --train-per-class 130.
Hyperparameters: cut-off, batch size (36 + 36 images), steps and learning rates from the authors'
PyTorch code.
Expected: the paper reports MAP@1000 .6633 at 48 bits, from ImageNet weights; far less from random
weights, the default. Not yet run at full size, so the time is unknown.
"""

from hashnet_jax.backbones import IMAGENET_MEAN, IMAGENET_STD
from hashnet_jax.configs._config import Config
from hashnet_jax.data import Options
from hashnet_jax.model import ModelSpec
from hashnet_jax.training import TrainSpec

CONFIG = Config(
    dataset="imagenet100",
    model=ModelSpec("alexnet", mean=IMAGENET_MEAN, std=IMAGENET_STD),
    train=TrainSpec(total_steps=10_000, learning_rate=3e-4),
    data=Options(queries_per_class=None, train_per_class=100, train_in_database=True),
    augmentation="resized_crop_flip",
    batch_size=72,
    cutoff=1000,
)
