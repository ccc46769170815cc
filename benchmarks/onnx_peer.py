"""The network in ONNX Runtime, for comparison.

PyTorch exports its implementation of the network, as most users of ONNX Runtime do. ONNX Runtime
then folds batch normalization and fuses activations into convolutions.
"""

import argparse
import io
import warnings

import jax
import numpy as np
import onnxruntime
import torch

from benchmarks.suite_train import random_batch
from benchmarks.torch_peers import HashNet


class OnnxPeer:
    """A function that encodes one batch of normalized images.

    Raises:
      RuntimeError: if JAX runs on an accelerator, or in bfloat16, which the exported network does
        not use.
    """

    def __init__(self, backbone: str, options: argparse.Namespace):
        if jax.default_backend() != "cpu" or options.dtype != "float32":
            raise RuntimeError("only measured on CPUs in float32")
        batch = random_batch(options.batch_size, options.image_size)["image"]
        pixels = batch.transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.5
        self.images = np.ascontiguousarray(pixels)
        self.session = onnxruntime.InferenceSession(_export(backbone, options.bits, self.images))

    def __call__(self) -> np.ndarray:
        (logits,) = self.session.run(None, {"images": self.images})
        return np.where(logits >= 0, 1, -1).astype(np.int8)


def _export(backbone: str, bits: int, images: np.ndarray) -> bytes:
    torch.manual_seed(0)
    network = HashNet(backbone, bits).eval()
    file = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # The newer exporter requires another package; the older one warns that it is the older one.
        warnings.simplefilter("ignore", DeprecationWarning)
        example = torch.from_numpy(images[:1])
        network(example)  # Initializes the lazy layer.
        torch.onnx.export(
            network,
            (example,),
            file,
            input_names=["images"],
            dynamic_axes={"images": {0: "batch"}},
            dynamo=False,
        )
    return file.getvalue()
