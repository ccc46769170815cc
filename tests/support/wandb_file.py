"""Reads the file that wandb writes for an offline run.

wandb has no public reader. The file begins with 7 bytes of its own and then has the format of
LevelDB's logs: blocks of 32 KiB with records, each of which is one protocol buffer or a part of it.
"""

import json
import struct
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, PREFIX = 2**15, 7
FULL, LAST = 1, 4


def messages(path: Path):
    """Yields the protocol buffers in a file."""
    content = path.read_bytes()
    assert content[:4] == b":W&B"
    place, message = PREFIX, b""
    while place < len(content):
        if BLOCK - place % BLOCK < PREFIX:  # too short for another record, so it is padding
            place += BLOCK - place % BLOCK
            continue
        _, size, kind = struct.unpack("<IHB", content[place : place + PREFIX])
        message += content[place + PREFIX : place + PREFIX + size]
        place += PREFIX + size
        if kind in (FULL, LAST):
            yield Record.FromString(message)
            message = b""


def read_run(folder: Path):
    """Returns ``(config, points, summary)`` of the only offline run in ``folder``.

    ``points`` has one ``(step, {name: value})`` for each step that was logged.
    """
    (path,) = folder.glob("*.wandb")
    config, points, summary = {}, [], {}
    for record in messages(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            config |= {"_id": record.run.run_id, "_project": record.run.project}
        elif kind == "history":
            values = named(record.history.item)
            points.append((values["_step"], {k: v for k, v in values.items() if k[0] != "_"}))
        elif kind == "summary":
            summary |= named(record.summary.update)
    return config, points, summary


def named(items):
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
