"""The registry of data sets."""

from collections.abc import Callable

from hashnet_jax.data._dataset import Dataset, Options

Loader = Callable[[Options], Dataset]

DATASETS: dict[str, Loader] = {}


def register(name: str, load: Loader) -> None:
    """Registers a data set.

    Args:
      name: the value of :attr:`hashnet_jax.configs.Config.dataset` that selects the data set.
      load: function that reads the labels, draws the split, and returns the :class:`Dataset`.

    Raises:
      ValueError: if the name is taken.
    """
    if name in DATASETS:
        raise ValueError(f"a data set named {name!r} is already registered. Choose another name.")
    DATASETS[name] = load
