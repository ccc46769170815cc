"""The `hashnet` commands. Each module declares the options of a command and runs it."""

from hashnet_jax.cli.commands import (
    duplicates,
    evaluate,
    export,
    index,
    info,
    push,
    report,
    search,
    serve,
    train,
)

# In the order shown by `hashnet --help`.
COMMANDS = {
    "train": train,
    "report": report,
    "evaluate": evaluate,
    "index": index,
    "search": search,
    "duplicates": duplicates,
    "serve": serve,
    "export": export,
    "push": push,
    "info": info,
}
