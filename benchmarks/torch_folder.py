"""A folder of pictures to packed codes in PyTorch, as its users write it.

A program of its own, since DataLoader forks, which threads of JAX do not survive: it reads the path
of a folder from each line of its input, encodes what is there, and answers with a line.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from torch_models import MODELS

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pictures(torch.utils.data.Dataset):
    """Images float32 [3, S, S], squashed, cut and normalised, in the order of their names."""

    def __init__(self, folder, size, squashed):
        self.paths = sorted(Path(folder).iterdir())
        self.size, self.squashed = size, squashed
        self.mean, self.std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        with Image.open(self.paths[index]) as picture:
            picture = picture.convert("RGB")
        whole = (self.squashed, self.squashed)
        picture = picture.resize(whole, Image.Resampling.BILINEAR)
        first = (self.squashed - self.size) // 2
        end = first + self.size
        pixels = torch.from_numpy(np.array(picture.crop((first, first, end, end))))
        return (pixels.permute(2, 0, 1).float().div(255) - self.mean) / self.std


def encode(network, folder, args):
    """Packed codes uint8 [N, ceil(K/8)]."""
    pictures = Pictures(folder, args.size, args.squashed)
    loader = torch.utils.data.DataLoader(
        pictures, batch_size=args.batch_size, num_workers=args.workers
    )
    packed = []
    with torch.inference_mode():
        for images in loader:
            logits = network(images.contiguous(memory_format=torch.channels_last))
            packed.append(np.packbits(logits.numpy() >= 0, axis=1))
    return np.concatenate(packed)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("backbone", choices=MODELS)
    for name in ("workers", "size", "squashed", "batch_size", "bits"):
        p.add_argument(name, type=int)
    args = p.parse_args()
    torch.manual_seed(0)
    network = torch.nn.Sequential(MODELS[args.backbone](), torch.nn.LazyLinear(args.bits)).eval()
    with torch.inference_mode():  # which gives the lazy layer its size
        network(torch.zeros(1, 3, args.size, args.size))
    network.to(memory_format=torch.channels_last)  # the faster layout
    for line in sys.stdin:
        print(len(encode(network, line.rstrip("\n"), args)), flush=True)


if __name__ == "__main__":
    main()
