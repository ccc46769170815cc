"""Loggers, which copy the metrics of a run to TensorBoard or Weights & Biases.

To add a logger, write a :class:`Logger` in a separate file, and :func:`register` it.
"""

from hashnet_jax.training.loggers._registry import LOGGERS, Logger, open_loggers, register
from hashnet_jax.training.loggers.tensorboard import TensorBoardLogger
from hashnet_jax.training.loggers.wandb import WandbLogger

register("tensorboard", TensorBoardLogger)
register("wandb", WandbLogger)

__all__ = ["LOGGERS", "Logger", "TensorBoardLogger", "WandbLogger", "open_loggers", "register"]
