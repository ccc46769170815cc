"""The folder in which a published data set was unpacked."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hashnet_jax.data._dataset import Options, reject_options
from hashnet_jax.distributed.printing import printable

# Error messages name at most this many entries of a folder.
_ENTRIES_SHOWN = 5


class Layout(NamedTuple):
    """How a data set lies in its folder.

    Attributes:
      name: name of the data set in ``DATASETS``.
      files: the files that the folder must contain.
      remedy: where to get them, as a sentence.
    """

    name: str
    files: str
    remedy: str

    def root(self, options: Options) -> Path:
        """Returns ``options.image_root``, which must be set.

        Raises:
          FileNotFoundError: if there is no such folder.
          ValueError: if options for TFDS are set too.
        """
        reject_options(
            f"{self.name} with `image_root`",
            options,
            ("data_dir", "manual_dir"),
            "It locates TFDS's files. Set either `image_root` or `data_dir`",
        )
        root = Path(str(options.image_root)).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(
                f"`image_root` must be the folder of {self.name}, with {self.files}, but there is "
                f"no folder at {root}. {self.remedy}"
            )
        return root

    def required_root(self, options: Options) -> Path:
        """Returns ``options.image_root`` of a data set that is read only from there.

        Raises:
          FileNotFoundError: if there is no such folder.
          ValueError: if it is not set, or options for TFDS are.
        """
        reject_options(self.name, options, ("data_dir", "manual_dir"), "Set `image_root` instead")
        if options.image_root is None:
            raise ValueError(
                f"{self.name} requires `image_root`, the folder with {self.files}, got None. "
                f"{self.remedy}"
            )
        return self.root(options)

    def find(self, root: Path, places: Sequence[str]) -> Path:
        """Returns the first of several places in which a file or folder may be.

        Raises:
          FileNotFoundError: if it is in none of them.
        """
        for place in places:
            if (root / place).exists():
                return root / place
        raise self.error(root, f"lacks {' or '.join(places)}")

    def error(self, root: Path, problem: str) -> FileNotFoundError:
        """Returns the error for a folder that lacks files.

        Args:
          root: the folder.
          problem: what is missing, as the predicate of a sentence, e.g. ``"has no folder train"``.
        """
        return FileNotFoundError(
            f"`image_root` must be the folder of {self.name}, with {self.files}, but {root} "
            f"{problem}; it contains {_contents(root)}. {self.remedy}"
        )


def _contents(folder: Path) -> str:
    with os.scandir(folder) as scan:
        names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in scan)
    shown = ", ".join(printable(name) for name in names[:_ENTRIES_SHOWN])
    more = len(names) - _ENTRIES_SHOWN
    return (f"{shown} and {more:,} more" if more > 0 else shown) or "nothing"
