"""Raises an OSError in place of orbax's own error if a checkpoint cannot be written."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

# The form in which errors of tensorstore, which writes the arrays, contain the errno.
_NUMBER = re.compile(r"os_error_code='(\d+)'|\[OS error (\d+)")


@contextlib.contextmanager
def write_faults_named(folder: Path) -> Iterator[None]:
    """Converts orbax's errors about a full or failing disk into an OSError that names the folder.

    orbax writes in the background, so the error may be about an earlier checkpoint.

    Args:
      folder: the checkpoint folder.

    Raises:
      OSError: if a checkpoint cannot be written, e.g. because the disk is full.

    Examples:
      >>> with write_faults_named(Path("run/checkpoints")):
      ...     raise ValueError("Failed to write 9 bytes to file 3 [os_error_code='28']")
      Traceback (most recent call last):
      ...
      OSError: [Errno 28] No space left on device: 'run/checkpoints'
    """
    try:
        yield
    except Exception as error:
        number = _os_error_number(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(folder)) from error


def _os_error_number(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    match = _NUMBER.search(str(error))
    return int(match[1] or match[2]) if match else None
