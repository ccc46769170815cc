"""The backbones in PyTorch, for testing converted weights.

Each maps images [B, 3, H, W] to features. They follow the tables in the papers; parameters have
torchvision's names, as in the public weight files. The classifier's parameters exist, but the
classifier is not applied.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (its usual name)

from tests.support.torch_modern import EfficientNetLite, ViT

# Columns A, B, D and E of VGG's table 1: filters of each convolution, and 0 for max pooling.
VGG_COLUMNS = {
    11: (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    13: (64, 64, 0, 128, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    16: (64, 64, 0, 128, 128, 0, *3 * (256,), 0, *3 * (512,), 0, *3 * (512,), 0),
    19: (64, 64, 0, 128, 128, 0, *4 * (256,), 0, *4 * (512,), 0, *4 * (512,), 0),
}
# Blocks per stage, from ResNet's table 1.
RESNET_BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


class AlexNet(nn.Module):
    """AlexNet with a single column, from Krizhevsky 2014."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.pool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            *(nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU()),
            *(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()),
            nn.Linear(4096, classes),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier[:-1](self.pool(self.features(images)).flatten(1))


class VGG(nn.Module):
    """VGG, from Simonyan and Zisserman 2015, table 1, columns A, B, D and E."""

    def __init__(self, depth: int, normalized: bool = False, classes: int = 10) -> None:
        super().__init__()
        layers, channels = [], 3
        for filters in VGG_COLUMNS[depth]:
            if filters == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            layers.append(nn.Conv2d(channels, filters, 3, padding=1))
            if normalized:
                layers.append(nn.BatchNorm2d(filters))
            layers.append(nn.ReLU())
            channels = filters
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            *(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout()),
            *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),
            nn.Linear(4096, classes),
        )

    forward = AlexNet.forward


class ResidualBlock(nn.Module):
    """A residual block from He et al. 2016, figure 5; bottlenecks stride in the 3x3 convolution."""

    def __init__(self, inputs: int, filters: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = filters * (4 if bottleneck else 1)
        if bottleneck:
            shapes = ((inputs, filters, 1, 1), (filters, filters, 3, stride))
            shapes += ((filters, outputs, 1, 1),)
        else:
            shapes = ((inputs, filters, 3, stride), (filters, filters, 3, 1))
        self.count = len(shapes)
        for i, (a, b, kernel, step) in enumerate(shapes, start=1):
            conv = nn.Conv2d(a, b, kernel, step, padding=kernel // 2, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", nn.BatchNorm2d(b))
        self.downsample = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        x = inputs
        for i in range(1, self.count + 1):
            x = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x))
            x = F.relu(x) if i < self.count else x
        return F.relu(x + self.downsample(inputs))


class ResNet(nn.Module):
    """ResNet, from He et al. 2016, table 1."""

    def __init__(self, depth: int, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs, bottleneck = 64, depth >= 50
        for stage, count in enumerate(RESNET_BLOCKS[depth]):
            filters, blocks = 64 << stage, []
            for block in range(count):
                stride = 2 if stage and not block else 1
                blocks.append(ResidualBlock(inputs, filters, stride, bottleneck))
                inputs = filters * (4 if bottleneck else 1)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2, padding=1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return x.mean((2, 3))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "alexnet": AlexNet,
    **{f"vgg{depth}": lambda depth=depth: VGG(depth) for depth in VGG_COLUMNS},
    **{f"vgg{depth}_bn": lambda depth=depth: VGG(depth, True) for depth in VGG_COLUMNS},
    **{f"resnet{depth}": lambda depth=depth: ResNet(depth) for depth in RESNET_BLOCKS},
    **{f"efficientnet_lite{i}": lambda i=i: EfficientNetLite(i) for i in range(3)},
    "vit_s16": lambda: ViT(384, 6),
    "vit_b16": lambda: ViT(768, 12),
}


@torch.no_grad()
def random_model(backbone: str, seed: int = 0) -> nn.Module:
    """Returns a model in evaluation mode with random weights that keep activations near 1.

    Its running statistics are random as well, so that swapped or missing ones do not go unnoticed.
    """
    with torch.device("meta"):
        model = MODELS[backbone]()
    model.to_empty(device="cpu")
    randomize(model, seed)
    return model.eval()


@torch.no_grad()
def randomize(model: nn.Module, seed: int = 0) -> None:
    """Fills a model with the weights that :func:`random_model` describes."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith("weight") and tensor.ndim == 1:
            # With the full gain, activations would grow with every residual block.
            summed = name.startswith(("layer", "_blocks")) and name.endswith(
                ("bn2.weight", "bn3.weight")
            )
            tensor.uniform_(0.5, 1.5, generator=generator).mul_(0.4 if summed else 1.0)
        elif tensor.ndim in (2, 4):
            tensor.normal_(0, (2.0 / tensor[0].numel()) ** 0.5, generator=generator)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.2, generator=generator)
