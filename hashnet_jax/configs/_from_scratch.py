"""Hyperparameters for training the small CNN from random weights."""

from hashnet_jax.training import TrainSpec

# The hash layer uses the backbone's learning rate. At 10 times that rate, which suits fine-tuning,
# it saturates within the first steps and all images share a few codes. Learning rates and batch
# sizes are the best of a few candidates, by MAP over one to four seeds.
FROM_SCRATCH = TrainSpec(total_steps=1_600, learning_rate=0.05, hash_multiplier=1.0)
