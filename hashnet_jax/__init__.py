"""HashNet in JAX: deep learning to hash by continuation."""

__version__ = "0.1.0"
