"""Reads the log of a run from a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from gradcore.errors import LogError
from gradcore.logfile.decoder import Decoder
from gradcore.logfile.format import START

if TYPE_CHECKING:
    from gradcore.report import Report

MAX_LINE: Final = 64 << 20
"""Bytes a line may have, a hundred times what a step of 10,000 parameters takes: what is longer is
not read into memory."""


class Log:
    """The reports in a file, one after the other, as they are read.

    A torn last line, which a run that was killed leaves, is passed over.  So one line at a time is
    in memory.

    Args:
        path: The file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: str = os.fspath(path)
        self.decoder: Decoder = Decoder(self.path)

    def __iter__(self) -> Iterator[Report]:
        """Read it from the start.

        Raises:
            LogError: It is no log, a line other than a torn last one is damaged, or a newer
                gradcore wrote it.
            OSError: It cannot be read.
        """
        self.decoder = Decoder(self.path)
        with open(self.path, "rb") as file:  # noqa: PTH123 - as it was given
            while line := file.readline(MAX_LINE + 1):
                if len(line) > MAX_LINE:
                    self.decoder.lines += 1
                    raise self.decoder.damaged(f"it is longer than {MAX_LINE >> 20} MiB")
                try:
                    report = self.decoder(line)
                except LogError:
                    if not line.endswith(b"\n") and self._may_be_torn(line):
                        return
                    raise
                if report is not None:
                    yield report

    def _may_be_torn(self, line: bytes) -> bool:
        """Whether it can be the rest of a line of ours: of the first one, we know how it begins."""
        return self.decoder.runs > 0 or START.startswith(line[: len(START)])
