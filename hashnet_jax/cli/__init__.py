"""The `hashnet` command: train a network, report on it, and search your own pictures with it.

::

    hashnet train --dataset DATASET               train, into a self-contained run folder
    hashnet report RUN                            write the run's report, or print its card
    hashnet encode RUN PICTURES... -o CODES       encode pictures into a folder of codes
    hashnet search RUN CODES QUERY...             find the pictures with the nearest codes
    hashnet info RUN|CODES                        describe a folder

Each command is a module in ``commands/`` with ``add_parser(commands)`` and ``run(args)``. These
import nothing heavy, so `hashnet --help` is fast. The underscore modules here do the work.
"""

from hashnet_jax.cli._main import main

__all__ = ["main"]
