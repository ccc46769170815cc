"""A network with batch normalization that compiles three times as fast as the small CNN."""

from functools import partial

from hashnet_jax import ModelSpec
from hashnet_jax.backbones import BACKBONES, Backbone, register
from hashnet_jax.backbones.small_cnn import SmallCNN

if "one_stage_cnn" not in BACKBONES:  # pytest may import this file twice, under two names
    register("one_stage_cnn", Backbone(partial(SmallCNN, filters=(16,)), smallest=4))

TINY = ModelSpec("one_stage_cnn", bits=12, image_size=8, resize=8)
