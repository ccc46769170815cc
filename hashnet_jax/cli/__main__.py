"""`python -m hashnet_jax.cli`, where the console script is not installed."""

import sys

from hashnet_jax.cli import main

sys.exit(main())
