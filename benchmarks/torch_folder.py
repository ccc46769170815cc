"""Encodes folders of pictures into packed codes with a typical PyTorch pipeline.

This is a separate program because DataLoader forks, which is unsafe with JAX's threads. It reads
paths of folders from standard input, one per line, encodes the pictures in each folder, and prints
their number.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tests.support.torch_models import MODELS

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pictures(torch.utils.data.Dataset):
    """The pictures in a folder as float32 [3, S, S], resized, cropped and normalized."""

    def __init__(self, folder: str, size: int, squashed_size: int):
        self.paths = sorted(Path(folder).iterdir())
        self.size, self.squashed_size = size, squashed_size
        self.mean, self.std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as picture:
            picture = picture.convert("RGB")
        side = self.squashed_size
        picture = picture.resize((side, side), Image.Resampling.BILINEAR)
        first = (side - self.size) // 2
        end = first + self.size
        pixels = torch.from_numpy(np.array(picture.crop((first, first, end, end))))
        return (pixels.permute(2, 0, 1).float().div(255) - self.mean) / self.std


def encode(network: torch.nn.Module, folder: str, options: argparse.Namespace) -> np.ndarray:
    """Encodes the pictures in a folder into packed codes, uint8 [N, ceil(K/8)]."""
    pictures = Pictures(folder, options.size, options.squashed_size)
    loader = torch.utils.data.DataLoader(
        pictures, batch_size=options.batch_size, num_workers=options.workers
    )
    packed = []
    with torch.inference_mode():
        for images in loader:
            logits = network(images.contiguous(memory_format=torch.channels_last))
            packed.append(np.packbits(logits.numpy() >= 0, axis=1))
    return np.concatenate(packed)


def make_network(options: argparse.Namespace) -> torch.nn.Module:
    torch.manual_seed(0)
    backbone, hash_layer = MODELS[options.backbone](), torch.nn.LazyLinear(options.bits)
    network = torch.nn.Sequential(backbone, hash_layer).eval()
    with torch.inference_mode():  # Initializes the lazy layer.
        network(torch.zeros(1, 3, options.size, options.size))
    return network.to(memory_format=torch.channels_last)  # This layout is faster.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backbone", choices=MODELS)
    for name in ("workers", "size", "squashed_size", "batch_size", "bits"):
        parser.add_argument(name, type=int)
    options = parser.parse_args()
    network = make_network(options)
    for line in sys.stdin:
        print(len(encode(network, line.rstrip("\n"), options)), flush=True)


if __name__ == "__main__":
    main()
