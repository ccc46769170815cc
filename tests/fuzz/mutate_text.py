"""Damages text: lines, encodings, digits, and the values of JSON."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEPTH = 100_000
LONG_LINE = 100_000

VALUES: tuple[Any, ...] = (
    None, [], {}, -1, 0, 1e308, 10**30, "x", float("nan"), float("inf"), True, 0.5, [[1]],
    "\x1b[2J",
)  # fmt: skip


def changed(path: Path, change: Callable[[bytearray], str]) -> str:
    """Changes the bytes of a file, and returns the description that ``change`` returns."""
    data = bytearray(path.read_bytes())
    said = change(data)
    path.write_bytes(data)
    return said


def _lines(path: Path, rng: random.Random) -> str:
    def change(data: bytearray) -> str:
        lines = data.splitlines(keepends=True)
        if not lines:
            return "unchanged, there are no lines"
        i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
        what = rng.choice(["duplicated", "deleted", "swapped", "reversed"])
        if what == "duplicated":
            lines.insert(j, lines[i])
        elif what == "deleted":
            del lines[i]
        elif what == "swapped":
            lines[i], lines[j] = lines[j], lines[i]
        else:
            lines.reverse()
        data[:] = b"".join(lines)
        return f"line {i} {what} ({j})"

    return changed(path, change)


def _not_utf8(path: Path, rng: random.Random) -> str:
    def change(data: bytearray) -> str:
        start = rng.randint(0, len(data))
        data[start:start] = rng.choice([b"\xff\xfe", b"\xed\xa0\x80", b"\xc3", b"\xef\xbb\xbf"])
        return f"broken UTF-8 at {start}"

    return changed(path, change)


def _nul(path: Path, rng: random.Random) -> str:
    def change(data: bytearray) -> str:
        start = rng.randint(0, len(data))
        data[start:start] = b"\0" * rng.randint(1, 3)
        return f"NUL at {start}"

    return changed(path, change)


def _digit(path: Path, rng: random.Random) -> str:
    """Changes a digit, the smallest change that leaves almost any text valid."""

    def change(data: bytearray) -> str:
        digits = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
        if not digits:
            return "unchanged, there are no digits"
        place = rng.choice(digits)
        data[place] = 48 + (data[place] - 47) % 10
        return f"digit at {place} changed"

    return changed(path, change)


def _long_line(path: Path, rng: random.Random) -> str:
    token = rng.choice([b" 1", b" ", b"a", b'"', b"[", b";x", b","])
    with open(path, "ab") as file:
        file.write(b"x" + token * LONG_LINE + b" 2\n")
    return f"a line of {LONG_LINE} times {token!r} appended"


def _json_value(path: Path, rng: random.Random) -> str:
    """Replaces, removes or renames one value, at any depth; of a `.jsonl`, in one line."""

    def change_value(document: Any) -> tuple[Any, str]:
        places = list(_places(document))
        if not places or rng.random() < 0.05:
            value = rng.choice(VALUES)
            return value, f"the document is {value!r}"
        holder, key = rng.choice(places)
        what = rng.random()
        if what < 0.15:
            del holder[key]
            return document, f"{key!r} removed"
        if what < 0.25 and isinstance(holder, dict):
            holder[f"{key}_"] = holder.pop(key)
            return document, f"{key!r} renamed"
        value = rng.choice(VALUES)
        holder[key] = value
        return document, f"{key!r} is {value!r}"

    text = path.read_text()
    try:
        if path.suffix == ".json":
            document, said = change_value(json.loads(text))
            path.write_text(json.dumps(document, indent=2) + "\n")
            return said
        lines = text.splitlines()
        if not lines:
            return "unchanged, there are no lines"
        i = rng.randrange(len(lines))
        document, said = change_value(json.loads(lines[i]))
        lines[i] = json.dumps(document)
        path.write_text("\n".join(lines) + "\n")
        return f"line {i}: {said}"
    except ValueError:
        return _nul(path, rng)


def _places(document: Any) -> list[tuple[Any, Any]]:
    """All ``(container, key)`` of a JSON document."""
    if isinstance(document, dict):
        keys: list[Any] = list(document)
    else:
        keys = list(range(len(document))) if isinstance(document, list) else []
    found = [(document, key) for key in keys]
    for key in keys:
        found += _places(document[key])
    return found


def _json_deep(path: Path, rng: random.Random) -> str:
    opening, closing = rng.choice([("[", "]"), ('{"a":', "}")])
    deep = opening * DEPTH + "0" + closing * DEPTH
    text = path.read_text()
    start = text.find(":") + 1 if rng.random() < 0.5 else 0
    end = text.find(",", start)
    path.write_text(text[:start] + deep + text[end:] if start and end > 0 else deep)
    return f"{DEPTH} times {opening}"


def _json_twice(path: Path, rng: random.Random) -> str:
    """Gives an object a key that it already has; parsers differ in which value they take."""
    text = path.read_text()
    start, key_end = text.find('"'), text.find('"', text.find('"') + 1)
    key, value = text[start : key_end + 1], rng.choice(VALUES)
    path.write_text(f"{text[:start]}{key}: {json.dumps(value)}, {text[start:]}")
    return f"{key} appears twice, first as {value!r}"


OF_TEXT: dict[str, Callable[[Path, random.Random], str]] = {
    "lines": _lines,
    "not UTF-8": _not_utf8,
    "NUL": _nul,
    "digit": _digit,
    "long line": _long_line,
}
OF_JSON: dict[str, Callable[[Path, random.Random], str]] = {
    "value": _json_value,
    "value again": _json_value,
    "deep": _json_deep,
    "twice": _json_twice,
}
