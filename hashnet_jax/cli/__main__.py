"""Entry point for `python -m hashnet_jax.cli`, which is equivalent to `hashnet`."""

import sys

from hashnet_jax.cli import main

sys.exit(main())
