"""ImageNet-100 with the paper's protocol.

    hashnet train --dataset imagenet100 --data-dir DIR --pretrained alexnet-owt-7be5be79.pth

Protocol: 100 classes of ILSVRC2012. The queries are the 5,000 validation images of these classes,
the database contains all their training images, and 100 images per class are used for training, as
in the paper. The authors' published lists use 130 per class (set --train-per-class 130).
Hyperparameters: the cut-off, batch size (36 + 36 images), number of steps and learning rates are
from the authors' PyTorch code.
Expected: the paper reports a MAP@1000 of .6633 for 48 bits, starting from ImageNet weights. Expect
a far lower MAP when starting from random weights, which is the default. This config has not been
run on the full data set, so the training time is unknown.
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
