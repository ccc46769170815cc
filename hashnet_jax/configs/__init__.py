"""Run configs: a default for each data set, recipes, and variants of the method.

To add a default config, write a file that defines ``CONFIG`` and register it below.
"""

from hashnet_jax.configs import (
    cifar10,
    coco,
    digits,
    fashion_mnist,
    folder,
    imagenet100,
    lists,
    mirflickr25k,
    mnist,
    nuswide,
    nuswide_21,
    shards,
)
from hashnet_jax.configs._config import Config
from hashnet_jax.configs._derive import derive
from hashnet_jax.configs._registry import CONFIGS, register
from hashnet_jax.configs.recipes import RECIPES, default_recipe, recipe_fields
from hashnet_jax.configs.variants import VARIANTS

for _module in (
    *(digits, imagenet100, coco, nuswide, nuswide_21, mirflickr25k, lists),
    *(cifar10, fashion_mnist, mnist, folder, shards),
):
    register(_module.CONFIG)

__all__ = [
    "CONFIGS",
    "RECIPES",
    "VARIANTS",
    "Config",
    "default_recipe",
    "derive",
    "recipe_fields",
    "register",
]
