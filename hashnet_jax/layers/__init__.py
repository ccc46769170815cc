"""Layers shared by several backbones, with fast CPU implementations.

Images are NHWC. Where XLA's code for a layer is slow on a CPU, the layer has a second
implementation, selected by ``jax.lax.platform_dependent``: see :mod:`_convolution`,
:mod:`_pooling` and :mod:`_depthwise`. :func:`plain_layers` switches all of them off. The larger CPU
implementations are in separate files, ``_cpu_*.py``; put implementations for other platforms next
to these files.
"""

from hashnet_jax.layers._adaptive_pool import adaptive_avg_pool
from hashnet_jax.layers._batch_norm import batch_norm
from hashnet_jax.layers._convolution import Conv, convolve
from hashnet_jax.layers._depthwise import DepthwiseConv, depthwise_conv
from hashnet_jax.layers._dropout import Dropout
from hashnet_jax.layers._initializers import he_normal, he_normal_fan_out, small_normal
from hashnet_jax.layers._plain import plain_layers
from hashnet_jax.layers._pooling import max_pool

__all__ = [
    "Conv",
    "DepthwiseConv",
    "Dropout",
    "adaptive_avg_pool",
    "batch_norm",
    "convolve",
    "depthwise_conv",
    "he_normal",
    "he_normal_fan_out",
    "max_pool",
    "plain_layers",
    "small_normal",
]
