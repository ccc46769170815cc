"""The changes that an update made to a store."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Changes:
    """The changes that an update made to a store.

    Attributes:
      new: number of pictures added.
      changed: number of pictures that were encoded again because their content had changed.
      gone: number of pictures deleted from the store because they no longer exist on disk.
      unreadable: number of pictures and folders that could not be read. If such a picture was in
        the store and its content has changed since, it was deleted from the store.
      relabelled: number of unchanged pictures with a new label.

    Examples:
      >>> print(Changes(new=12, changed=3, gone=2, unreadable=4))
      +12 new, 3 changed, 2 gone, 4 unreadable
    """

    new: int = 0
    changed: int = 0
    gone: int = 0
    unreadable: int = 0
    relabelled: int = 0

    def __str__(self) -> str:
        relabelled = f", {self.relabelled:,} relabelled" if self.relabelled else ""
        return (
            f"+{self.new:,} new, {self.changed:,} changed, {self.gone:,} gone, "
            f"{self.unreadable:,} unreadable{relabelled}"
        )
