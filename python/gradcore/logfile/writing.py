"""Writes a log in one piece or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gradcore.logfile.encoder import Encoder

if TYPE_CHECKING:
    from gradcore.report import Report
    from gradcore.tally import Tally


def write_log(path: str | os.PathLike[str], reports: Iterable[Report], before: Tally) -> None:
    """Replace a file by the log of these reports.

    It is written beside the file, brought to the disk, and put in its place when it is whole.

    Raises:
        OSError: It cannot be written; the file is as it was.
    """
    target = Path(os.path.realpath(path))  # what a link leads to is replaced, not the link
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    encoder = Encoder()
    try:
        with beside.open("x", encoding="ascii", newline="\n") as file:
            file.write(encoder.run(before))
            for report in reports:
                file.write(encoder.step(report))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
