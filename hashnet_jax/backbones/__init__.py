"""Backbones, which map images [B, H, W, 3] to features [B, D], and their registry.

To add a backbone, write a module with its architecture, expected preprocessing and public tensor
names, and pass its :class:`Backbone` to :func:`register`. Each architecture's module here lists its
variants in a dictionary ``FAMILY``, which is registered below.
"""

from hashnet_jax.backbones import (
    alexnet,
    clip,
    convnext,
    dinov2,
    dinov3,
    efficientnet_lite,
    mobilenetv3,
    resnet,
    siglip,
    small_cnn,
    vgg,
    vit,
)
from hashnet_jax.backbones._registry import (
    BACKBONES,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Backbone,
    PublicWeights,
    register,
)
from hashnet_jax.backbones._tensors import Target

for _module in (
    *(small_cnn, alexnet, vgg, resnet, efficientnet_lite, mobilenetv3, convnext),
    *(vit, dinov2, dinov3, clip, siglip),
):
    for _name, _member in _module.FAMILY.items():
        register(_name, _member)

__all__ = [
    "BACKBONES",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Backbone",
    "PublicWeights",
    "Target",
    "register",
]
