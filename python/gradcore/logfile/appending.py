"""A text file that grows by whole lines, and survives that its writer is killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gradcore.errors import LogError

BLOCK: Final = 1 << 16


class AppendedFile:
    """Appends lines to a file, each given to the operating system at once and in one piece.

    So nothing of a line that was written is lost if the process is killed, be it by ``kill -9``;
    what a loss of power leaves is up to the file system.  A torn last line, left by a process that
    was killed while it wrote, is removed when the file is opened.  If the file is moved away or
    emptied while it is open, as programs that rotate logs do, a new one is begun.

    Args:
        path: The file; folders that are missing are made.
        start: What the first line begins with, so that no other file is ever appended to.
        is_whole: Whether a last line without a line break is whole, and just lacks it.

    Raises:
        LogError: The file holds something else.
        OSError: It cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        start: bytes,
        is_whole: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self.path: Path = Path(path).absolute()
        self._start = start
        self._is_whole = is_whole
        self._file = self._open()

    def renew(self) -> bool:
        """Open anew what was moved away; True if what was written is in the file no longer."""
        here = os.fstat(self._file)
        try:
            there = self.path.stat()
        except FileNotFoundError:
            there = None
        if there is None or not os.path.samestat(here, there):
            os.close(self._file)
            self._file = self._open()
            return True
        return here.st_size == 0

    def write(self, text: str) -> None:
        """Append whole lines.

        Raises:
            OSError: They cannot be written, such as on a full disk.
        """
        rest = memoryview(text.encode())
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def close(self) -> None:
        """Close the file; doing so twice is fine."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            self._require_ours(file)
            self._mend(file)
        except BaseException:
            os.close(file)
            raise
        return file

    def _require_ours(self, file: int) -> None:
        found = os.pread(file, len(self._start), 0)
        if not self._start.startswith(found):
            raise LogError(
                f"{self.path} is there already and does not begin as this log does, so nothing is "
                f"appended to it: it begins with {found[:40]!r}. Choose another path."
            )

    def _mend(self, file: int) -> None:
        """Remove what stands after the last line break, or add the break that is missing."""
        size = end = os.fstat(file).st_size
        tail = b""
        while end > 0 and b"\n" not in tail:
            start = max(0, end - BLOCK)
            tail = os.pread(file, end - start, start) + tail
            end = start
        torn = tail[tail.rfind(b"\n") + 1 :]
        if torn and self._is_whole(torn):
            os.write(file, b"\n")
        elif torn:
            os.ftruncate(file, size - len(torn))
