"""Makes untrusted text, such as file names and labels, safe to print on a terminal."""

import os
import unicodedata

# Categories of characters that move the cursor, change colours, reverse the direction of the text
# or cannot be encoded: control and format characters, surrogates, line and paragraph separators.
_ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Format characters that join letters and emoji, and are harmless.
_JOINERS = frozenset("\u200c\u200d")


def printable(text: str | os.PathLike[str]) -> str:
    r"""Escapes the characters that a terminal would interpret instead of showing.

    The result is one line of valid Unicode. Bytes of a file name that are not UTF-8, which Python
    represents as surrogates, are shown as ``\xNN``.

    Args:
      text: any text or path.

    Returns:
      The text, with these characters written as in a Python string literal.

    Examples:
      >>> print(printable("a\x1b[31m\n.png"))
      a\x1b[31m\n.png
      >>> print(printable(os.fsdecode(b"caf\xe9.png")))
      caf\xe9.png
    """
    return "".join(map(_shown, os.fspath(text)))


def _is_noncharacter(character: str) -> bool:
    """Returns whether a code point is a Unicode noncharacter, which XML forbids or discourages."""
    return ord(character) & 0xFFFE == 0xFFFE or "\ufdd0" <= character <= "\ufdef"


def _shown(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that os.fsdecode could not decode
        return f"\\x{ord(character) - 0xDC00:02x}"
    category = unicodedata.category(character)
    escaped = category in _ESCAPED_CATEGORIES or (category == "Cn" and _is_noncharacter(character))
    if escaped and character not in _JOINERS:
        return character.encode("unicode_escape").decode()
    return character
