"""Reports the progress of a download as the package reports everything else."""

from hashnet_jax.distributed.progress import Progress

_MEGABYTE = 10**6


class Bar:
    """The interface that pooch expects of a progress bar, on top of :class:`Progress`.

    pooch sets ``total``, calls ``update`` for each chunk, and at the end ``reset``, ``update`` with
    the total, and ``close``. If the server does not tell the size, nothing is shown.

    Args:
      what: name of the work.
      done: number of bytes that earlier attempts have written.

    Attributes:
      done: as above; set to 0 if the server sends the file from the beginning.
    """

    def __init__(self, what: str, *, done: int) -> None:
        self.done = done
        self._what = what
        self._total = self._received = self._shown = 0
        self._progress: Progress | None = None

    @property
    def total(self) -> int:
        """Number of bytes that the server announced; 0 if it did not."""
        return self._total

    @total.setter
    def total(self, n_bytes: int) -> None:
        self._total = n_bytes
        if n_bytes:
            self._shown = self.done // _MEGABYTE
            size = -(-(self.done + n_bytes) // _MEGABYTE)
            self._progress = Progress(size, self._what, "megabyte", done=self._shown)

    def update(self, n_bytes: int) -> None:
        """Counts bytes as received; pooch counts the last chunk as if it were full."""
        self._received = min(self._received + n_bytes, self._total)
        # The last megabyte counts even if it is not full.
        size = self.done + self._received
        shown = -(-size // _MEGABYTE) if self._received == self._total else size // _MEGABYTE
        if self._progress is not None and shown > self._shown:
            self._progress.update(shown - self._shown)
            self._shown = shown

    def reset(self) -> None:
        """Starts counting again."""
        self._received = 0

    def close(self) -> None:
        """Leaves the finished bar on the terminal."""
        if self._progress is not None:
            self._progress.__exit__()
