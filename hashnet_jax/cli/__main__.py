"""Runs `hashnet` as `python -m hashnet_jax.cli`, without the console script."""

import sys

from hashnet_jax.cli import main

sys.exit(main())
