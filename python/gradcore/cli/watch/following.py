"""Reads a log that is being written, across its rotation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gradcore.errors import DamagedLogError
from gradcore.logfile import MAX_LINE, Decoder

if TYPE_CHECKING:
    from gradcore.report import Report

HEAD = 256
"""Bytes at the start that tell one log from another: they hold when the run was started."""


class Follower:
    """Reports that were added to a log since it was last looked at.

    A file that is not there yet, or was moved away, is waited for; one that takes its place, or was
    emptied, is read from its start.  Lines that cannot be read are counted and passed over.

    Args:
        path: The log.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.decoder = Decoder(os.fspath(path))
        self.damaged = 0
        """Lines that could not be read."""
        self._file: BinaryIO | None = None
        self._head = b""
        self._rest = b""

    @property
    def found(self) -> bool:
        """Whether there ever was such a file."""
        return self._file is not None

    def __enter__(self) -> Follower:  # noqa: PYI034 - nobody inherits from it
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def __iter__(self) -> Iterator[Report]:
        """What is new.

        Raises:
            LogError: The file is no log, or a newer gradcore wrote it.
            OSError: It cannot be read.
        """
        if self._file is not None:
            if not self._was_emptied(self._file):
                yield from self._read(self._file)
            if not self._was_replaced(self._file):
                return
            self._file.close()
        try:
            self._file = self.path.open("rb")
        except FileNotFoundError:
            return
        self._head = self._rest = b""
        self.decoder = Decoder(os.fspath(self.path))
        yield from self._read(self._file)

    def _read(self, file: BinaryIO) -> Iterator[Report]:
        while piece := file.readline(MAX_LINE):
            self._rest += piece
            if not piece.endswith(b"\n") and len(self._rest) < MAX_LINE:
                break  # the rest of it is yet to be written
            line, self._rest = self._rest, b""
            self._head = (self._head + line)[:HEAD] if len(self._head) < HEAD else self._head
            try:
                report = self.decoder(line)
            except DamagedLogError:
                self.damaged += 1
                continue
            if report is not None:
                yield report

    def _was_emptied(self, file: BinaryIO) -> bool:
        """Whether something else stands where the lines that were read stood."""
        return os.pread(file.fileno(), len(self._head), 0) != self._head

    def _was_replaced(self, file: BinaryIO) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        return self._was_emptied(file) or not os.path.samestat(os.fstat(file.fileno()), there)
