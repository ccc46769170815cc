"""Trains HashNet on a data set and reports its MAP; equivalent to `hashnet train`."""

import sys

from hashnet_jax.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]], started_as="python experiments/run.py"))
