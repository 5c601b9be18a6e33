"""Reads the file that W&B keeps of a run in offline mode.

It is a file of records of LevelDB (https://github.com/google/leveldb/blob/main/doc/log_format.md)
behind a header of 7 bytes; a record is a message of W&B's own protocol.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

from wandb.proto import wandb_internal_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 32768
HEADER = 7
LAST = {1, 4}
"""Types of the pieces that end a record."""


def records(path: Path) -> Iterator[Any]:
    """The messages in the file, in order."""
    content, place, whole = path.read_bytes(), HEADER, b""
    assert content[:4] == b":W&B"
    while place + HEADER <= len(content):
        if BLOCK - place % BLOCK < HEADER:  # the rest of a block is too short for a piece
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in LAST:
            message = wandb_internal_pb2.Record()
            message.ParseFromString(whole)
            yield message
            whole = b""


def logged(path: Path) -> list[dict[str, Any]]:
    """What was given to ``run.log``, a dict a call."""
    calls = []
    for record in records(path):
        if record.HasField("history"):
            values: dict[str, Any] = {}
            for item in record.history.item:
                *outer, last = item.nested_key or [item.key]
                inner = values
                for key in outer:
                    inner = inner.setdefault(key, {})
                inner[last] = json.loads(item.value_json)
            calls.append(values)
    return calls
