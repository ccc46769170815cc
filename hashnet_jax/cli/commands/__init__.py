"""The `hashnet` subcommands: one module each, with its options and a function that runs it."""

from hashnet_jax.cli.commands import encode, info, report, search, train

# In the order of `hashnet --help`.
COMMANDS = {"train": train, "report": report, "encode": encode, "search": search, "info": info}
