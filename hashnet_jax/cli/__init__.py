"""The `hashnet` command: train a network, report on it, and search your own pictures with it.

::

    hashnet train --dataset DATASET               train a network and save it to a run folder
    hashnet report RUN                            write a run's report, or print its protocol card
    hashnet evaluate --query-codes FILE ...       compute the MAP of codes from any program
    hashnet index update RUN PICTURES... --store STORE
                                                  keep a store of codes in sync with pictures
    hashnet export STORE|RUN OUT                  export codes, or a network, for other programs
    hashnet search RUN QUERY... --store STORE     find the pictures with the nearest codes
    hashnet serve RUN --store STORE               search from a browser, and over HTTP
    hashnet duplicates --store STORE              find pictures with similar codes, and near copies
    hashnet info RUN|CODES                        describe a run folder or a codes folder

Each command is a module in ``commands/`` that defines ``add_parser(commands)`` and ``run(args)``.
To keep `hashnet --help` fast, these modules defer their heavy imports. The private modules in this
package implement the commands.
"""

from hashnet_jax.cli._main import main

__all__ = ["main"]
