"""The same network, loss and optimiser in PyTorch.

The backbones are those of `tests/torch_models.py`, which the tests hold equal to this package's.
"""

import sys
from pathlib import Path

import jax
import torch

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from torch_models import MODELS


class HashNet(torch.nn.Module):
    """Images [B, 3, H, W] to logits [B, K]."""

    def __init__(self, backbone, bits):
        super().__init__()
        self.backbone = MODELS[backbone]()
        self.hash = torch.nn.LazyLinear(bits)

    def forward(self, images):
        return self.hash(self.backbone(images))


def pairwise_loss(codes, labels):
    """HashNet's loss over all pairs but those of an image with itself, balanced by class."""
    logits = 10 / codes.shape[1] * codes @ codes.T
    counted = ~torch.eye(len(labels), dtype=torch.bool, device=codes.device)
    similar = labels[:, None] == labels[None, :]
    n_similar = (similar & counted).sum().clamp(min=1)
    n_dissimilar = (~similar & counted).sum().clamp(min=1)
    weights = torch.where(similar, 1 / n_similar, 1 / n_dissimilar) * counted
    losses = torch.nn.functional.softplus(logits) - similar * logits
    return (weights * losses).sum() / weights.sum()


class Peer:
    """One way to run PyTorch: eager, channels_last, or compiled.

    Args:
      batch: ``{"image": uint8 NumPy [B, S, S, 3], "label": int [B]}``, normalised outside of the
        timing here, inside the step there.
      dtype: ``"float32"``, or ``"bfloat16"`` by autocast.

    Raises:
      RuntimeError: if JAX runs on an accelerator that this torch cannot use, or the network is not
        written in PyTorch.
    """

    def __init__(self, backbone, batch, bits, *, dtype, channels_last=False, compiled=False):
        if backbone not in MODELS:
            raise RuntimeError(f"{backbone} has no form in PyTorch here")
        on_cpu = jax.default_backend() == "cpu"
        if not on_cpu and not torch.cuda.is_available():
            raise RuntimeError("this torch has no CUDA to compare with JAX's accelerator")
        self.device = "cpu" if on_cpu else "cuda"
        torch.manual_seed(0)
        images = torch.tensor(batch["image"]).permute(0, 3, 1, 2).float().div(255).sub(0.5)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.images = images.to(self.device).contiguous(memory_format=self.layout)
        self.labels = torch.tensor(batch["label"]).to(self.device)
        self.network = HashNet(backbone, bits).to(self.device)
        with torch.no_grad():
            self.network.eval()(self.images[:2])  # which gives the lazy layer its size
        self.network.to(memory_format=self.layout)
        self.dtype = dtype
        self.sgd = torch.optim.SGD(
            self.network.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4, nesterov=True
        )
        self.forward = torch.compile(self.network) if compiled else self.network

    def train_step(self):
        self.network.train()
        self.sgd.zero_grad()
        with self._autocast():
            z = self.forward(self.images)
        loss = pairwise_loss(torch.tanh(z.float()), self.labels)
        loss.backward()
        self.sgd.step()
        self._wait()

    def encode(self):
        self.network.eval()
        with torch.inference_mode(), self._autocast():
            codes = torch.where(self.forward(self.images) >= 0, 1, -1).to(torch.int8)
        self._wait()
        return codes.cpu().numpy()

    def _autocast(self):
        return torch.autocast(self.device, torch.bfloat16, enabled=self.dtype == "bfloat16")

    def _wait(self):
        if self.device == "cuda":
            torch.cuda.synchronize()
