"""Writes the report of a finished run; equivalent to `hashnet report`."""

import sys

from hashnet_jax.cli import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]], started_as="python experiments/report.py"))
