"""Backbones by name: each turns images [B, H, W, 3] into features [B, D].

A backbone is a linen module with the fields ``dtype`` (of the computation; parameters are
float32) and ``axis_name`` (the mapped axis that batch statistics are taken over), called as
``module(images, train)``. To add one: a file here, and a line in ``BACKBONES``.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

from hashnet_jax.backbones.alexnet import AlexNet
from hashnet_jax.backbones.efficientnet_lite import EfficientNetLite0
from hashnet_jax.backbones.resnet import ResNet
from hashnet_jax.backbones.small_cnn import SmallCNN
from hashnet_jax.backbones.vgg import VGG
from hashnet_jax.backbones.vit import ViT

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Backbone:
    """How to build a backbone, and the images it takes.

    Attributes:
      build: ``build(dtype=..., axis_name=...)`` gives the module.
      image_size: side of the square images it was designed for, pixels.
      smallest: least side it accepts, pixels.
      resize: side of the image that the centre of ``image_size`` is cut from, pixels.
      mean, std: of each RGB channel on the scale 0..1, as its public weights were trained with.
    """

    build: Callable
    image_size: int = 224
    smallest: int = 32
    resize: int = 256
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


def _vit(size):
    half = (0.5, 0.5, 0.5)
    return Backbone(partial(ViT, size), smallest=16, resize=248, mean=half, std=half)


BACKBONES = {
    "small_cnn": Backbone(SmallCNN, image_size=32, smallest=4, resize=32),
    "alexnet": Backbone(AlexNet, smallest=63),
    "vgg11": Backbone(partial(VGG, 11)),
    "vgg13": Backbone(partial(VGG, 13)),
    "vgg16": Backbone(partial(VGG, 16)),
    "vgg19": Backbone(partial(VGG, 19)),
    "vgg11_bn": Backbone(partial(VGG, 11, True)),
    "vgg13_bn": Backbone(partial(VGG, 13, True)),
    "vgg16_bn": Backbone(partial(VGG, 16, True)),
    "vgg19_bn": Backbone(partial(VGG, 19, True)),
    "resnet18": Backbone(partial(ResNet, 18)),
    "resnet34": Backbone(partial(ResNet, 34)),
    "resnet50": Backbone(partial(ResNet, 50)),
    "resnet101": Backbone(partial(ResNet, 101)),
    "resnet152": Backbone(partial(ResNet, 152)),
    # Google trained it on (x - 127)/128.
    "efficientnet_lite0": Backbone(EfficientNetLite0, mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
    # timm's weights of "How to train your ViT?": mean and std 0.5, a crop of 0.9 of the side.
    "vit_s16": _vit("S"),
    "vit_b16": _vit("B"),
}
