"""PyTorch implementations of the network, loss and optimizer, for comparison.

The backbones are from `tests/support/torch_models.py`; tests check that their outputs match those
of this package's backbones.
"""

import contextlib

import jax
import numpy as np
import torch

from tests.support.torch_models import MODELS


class HashNet(torch.nn.Module):
    """Maps images [B, 3, H, W] to logits [B, K].

    Raises:
      RuntimeError: if there is no PyTorch implementation of the backbone.
    """

    def __init__(self, backbone: str, bits: int):
        super().__init__()
        if backbone not in MODELS:
            raise RuntimeError(f"there is no PyTorch implementation of {backbone}")
        self.backbone = MODELS[backbone]()
        self.hash = torch.nn.LazyLinear(bits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.hash(self.backbone(images))


def pairwise_loss(codes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """HashNet's loss over pairs of distinct images; balances similar and dissimilar pairs."""
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
      backbone: name of the backbone.
      batch: ``{"image": uint8 NumPy [B, S, S, 3], "label": int [B]}``. The images are normalized
        in advance and this is not timed, whereas hashnet_jax normalizes them in the timed step.
      bits: K, the number of bits per code.
      dtype: ``"float32"``, or ``"bfloat16"`` for autocast.
      channels_last: whether to store images and weights in channels_last format.
      compiled: whether to use `torch.compile`.

    Raises:
      RuntimeError: if JAX runs on an accelerator that the installed torch cannot use, or there is
        no PyTorch implementation of the backbone.
    """

    def __init__(
        self,
        backbone: str,
        batch: dict[str, np.ndarray],
        bits: int,
        *,
        dtype: str,
        channels_last: bool = False,
        compiled: bool = False,
    ):
        on_cpu = jax.default_backend() == "cpu"
        if not on_cpu and not torch.cuda.is_available():
            raise RuntimeError("JAX uses an accelerator, but the installed torch cannot use CUDA")
        self.device = "cpu" if on_cpu else "cuda"
        self.dtype = dtype
        torch.manual_seed(0)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        images = torch.tensor(batch["image"]).permute(0, 3, 1, 2).float().div(255).sub(0.5)
        self.images = images.to(self.device).contiguous(memory_format=layout)
        self.labels = torch.tensor(batch["label"]).to(self.device)
        self.network = HashNet(backbone, bits).to(self.device)
        with torch.no_grad():
            self.network.eval()(self.images[:2])  # Initializes the lazy layer.
        self.network.to(memory_format=layout)
        self.sgd = torch.optim.SGD(
            self.network.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4, nesterov=True
        )
        self.forward = torch.compile(self.network) if compiled else self.network

    def train_step(self) -> None:
        self.network.train()
        self.sgd.zero_grad()
        with self._autocast():
            logits = self.forward(self.images)
        loss = pairwise_loss(torch.tanh(logits.float()), self.labels)
        loss.backward()
        self.sgd.step()
        self._wait()

    def encode(self) -> np.ndarray:
        self.network.eval()
        with torch.inference_mode(), self._autocast():
            codes = torch.where(self.forward(self.images) >= 0, 1, -1).to(torch.int8)
        self._wait()
        return codes.cpu().numpy()

    def _autocast(self) -> contextlib.AbstractContextManager:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.dtype == "bfloat16")

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()
