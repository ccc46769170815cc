"""The `hashnet` commands. Each module declares the options of a command and runs it."""

from hashnet_jax.cli.commands import encode, evaluate, info, report, search, train

# In the order shown by `hashnet --help`.
COMMANDS = {
    "train": train,
    "report": report,
    "evaluate": evaluate,
    "encode": encode,
    "search": search,
    "info": info,
}
