"""The registry of default configs, keyed by data set."""

from hashnet_jax.configs._config import Config

CONFIGS: dict[str, Config] = {}


def register(config: Config) -> None:
    """Makes ``config`` the default for its data set.

    Args:
      config: the config to register under its ``dataset``.

    Raises:
      ValueError: if the data set already has a default.

    Examples:
      >>> from hashnet_jax.configs import digits
      >>> register(digits.CONFIG)
      Traceback (most recent call last):
      ...
      ValueError: a config for 'digits' is already registered. Use ...
    """
    if config.dataset in CONFIGS:
        raise ValueError(
            f"a config for {config.dataset!r} is already registered. Use "
            "hashnet_jax.configs.derive to modify it."
        )
    CONFIGS[config.dataset] = config
