"""Loggers, which copy the metrics of a run to TensorBoard or Weights & Biases.

To add a logger, write a :class:`Logger` in a separate file, and :func:`register` it.
"""

from hashnet_jax.training.loggers._registry import LOGGERS, Logger, register
from hashnet_jax.training.loggers.tensorboard import TensorBoardLogger
from hashnet_jax.training.loggers.wandb import WandbLogger

# The config of a run is in its folder, so TensorBoard does not need a copy.
register("tensorboard", lambda folder, config: TensorBoardLogger(folder))
register("wandb", WandbLogger)

__all__ = ["LOGGERS", "Logger", "TensorBoardLogger", "WandbLogger", "register"]
