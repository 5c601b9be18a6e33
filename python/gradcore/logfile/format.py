"""What the log of a run is called, and how it begins."""

from __future__ import annotations

from typing import Final

FORMAT: Final = "gradcore.log"

VERSION: Final = 1
"""Goes up when readers of the version before would misunderstand what is written."""

START: Final = b'{"type":"run","format":"gradcore.log",'
"""What the first line of every log begins with."""
