"""Hyperparameters for training the small CNN from random weights."""

from hashnet_jax.training import TrainSpec

# The hash layer uses the same learning rate as the backbone. With 10 times that rate, as used for
# fine-tuning, it saturates within the first few steps and all images collapse to a few codes.
# Learning rates and batch sizes were chosen from a few candidates by MAP over one to four seeds.
FROM_SCRATCH = TrainSpec(total_steps=1_600, learning_rate=0.05, hash_multiplier=1.0)
