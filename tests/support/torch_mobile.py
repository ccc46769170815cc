"""MobileNetV3-Large in PyTorch, for testing converted weights; see also torch_models.

It maps images [B, 3, H, W] to features. It follows table 1 of the paper; parameters have
torchvision's names.
"""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (its usual name)

# kernel, expansion size, output channels, squeezed channels or 0, h-swish or ReLU, stride
TABLE = (
    (3, 16, 16, 0, "RE", 1),
    (3, 64, 24, 0, "RE", 2),
    (3, 72, 24, 0, "RE", 1),
    (5, 72, 40, 24, "RE", 2),
    (5, 120, 40, 32, "RE", 1),
    (5, 120, 40, 32, "RE", 1),
    (3, 240, 80, 0, "HS", 2),
    (3, 200, 80, 0, "HS", 1),
    (3, 184, 80, 0, "HS", 1),
    (3, 184, 80, 0, "HS", 1),
    (3, 480, 112, 120, "HS", 1),
    (3, 672, 112, 168, "HS", 1),
    (5, 672, 160, 168, "HS", 2),
    (5, 960, 160, 240, "HS", 1),
    (5, 960, 160, 240, "HS", 1),
)


def conv_norm(
    inputs: int, outputs: int, kernel: int, stride: int, groups: int, name: str
) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    activations = {"HS": nn.Hardswish, "RE": nn.ReLU, "": nn.Identity}
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, 1e-3), activations[name]())


class SqueezeExcitation(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = F.adaptive_avg_pool2d(x, 1)
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(means))))


class InvertedResidual(nn.Module):
    def __init__(
        self, inputs: int, kernel: int, wide: int, outputs: int, squeezed: int, name: str, step: int
    ) -> None:
        super().__init__()
        layers = [conv_norm(inputs, wide, 1, 1, 1, name)] if wide != inputs else []
        layers.append(conv_norm(wide, wide, kernel, step, wide, name))
        if squeezed:
            layers.append(SqueezeExcitation(wide, squeezed))
        layers.append(conv_norm(wide, outputs, 1, 1, 1, ""))
        self.block = nn.Sequential(*layers)
        self.added = step == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.block(x) if self.added else self.block(x)


class MobileNetV3Large(nn.Module):
    """MobileNetV3-Large, from Howard et al. 2019, table 1; features of 1280 channels."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        layers, inputs = [conv_norm(3, 16, 3, 2, 1, "HS")], 16
        for kernel, wide, outputs, squeezed, name, step in TABLE:
            layers.append(InvertedResidual(inputs, kernel, wide, outputs, squeezed, name, step))
            inputs = outputs
        self.features = nn.Sequential(*layers, conv_norm(inputs, 960, 1, 1, 1, "HS"))
        self.classifier = nn.Sequential(
            nn.Linear(960, 1280), nn.Hardswish(), nn.Dropout(), nn.Linear(1280, classes)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = self.features(images).mean((2, 3))
        return self.classifier[1](self.classifier[0](means))

    @torch.no_grad()
    def damp(self, factor: float) -> None:
        """Scales the last norm of each block, as activations would grow with every block."""
        for block in self.features[1:-1]:
            block.block[-1][1].weight.mul_(factor)
