"""An argument parser with 80-column help and lazily declared options."""

import argparse
import shutil
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from hashnet_jax.distributed.printing import printable

MAX_WIDTH = 80

AddOptions = Callable[[argparse.ArgumentParser, Sequence[str]], None]


class CommandParser(argparse.ArgumentParser):
    """An argument parser that adds options lazily, because adding them may require slow imports.

    Args:
      add_options: called as ``add_options(parser, argv)`` before the first parse, where ``argv``
        contains the arguments to parse.
      kwargs: keyword arguments for `argparse.ArgumentParser`.
    """

    def __init__(self, *, add_options: AddOptions | None = None, **kwargs: Any) -> None:
        super().__init__(formatter_class=help_formatter, **kwargs)
        self._add_options = add_options

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]  # has overloads
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        add_options, self._add_options = self._add_options, None
        if add_options is not None:
            add_options(self, args or ())
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Prints an error message, with control characters escaped, and exits with status 2."""
        super().error("\n".join(map(printable, message.split("\n"))))


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Preserves line breaks in descriptions, and does not break words at hyphens."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        words = " ".join(text.split())
        return textwrap.wrap(words, width, break_on_hyphens=False, break_long_words=False)


def help_formatter(prog: str) -> argparse.HelpFormatter:
    """Returns a help formatter limited to 80 columns, even on wider terminals."""
    width = min(MAX_WIDTH, shutil.get_terminal_size().columns - 2)
    return HelpFormatter(prog, max_help_position=26, width=width)
