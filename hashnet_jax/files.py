"""Files that appear whole or not at all."""

import os


def write_whole(path, write):
    """Writes a file that appears whole or not at all, also where the machine stops half-way.

    Args:
      path: of the file; its folder is there.
      write: called with the opened binary file.
    """
    # The process in the name: two that write the same file do not meet, the later one wins.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
