"""Reports to the logging of Python's standard library."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar, Final

from gradcore.printable import printable

if TYPE_CHECKING:
    from gradcore.report import Report

LEVELS: Final = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "critical": logging.CRITICAL,
}


class Log:
    r"""Logs each report as one line, and each finding as a line of its own severity.

    What a terminal would obey, such as a newline in the name of a parameter, is written as an
    escape: ``\n``.

    Args:
        logger: Name of the logger.
        level: At which reports are logged, a number or a name of `logging`; without configuration
            nothing below ``"WARNING"`` is shown.

    Raises:
        ValueError: The level is unknown.
    """

    name: ClassVar[str] = "log"

    def __init__(self, logger: str = "gradcore", level: int | str = "INFO") -> None:
        known = logging.getLevelName(level.upper()) if isinstance(level, str) else level
        if isinstance(known, str):  # such as "Level LOUD"
            raise ValueError(f"level must be one of logging's, such as 'INFO'; got {level!r}.")  # noqa: TRY004 - of a name
        self._level = known
        self._logger = logging.getLogger(logger)

    def __call__(self, report: Report) -> None:
        self._logger.log(self._level, "%s", report)
        for finding in report.findings:
            self._logger.log(
                LEVELS[finding.severity],
                "step %d: %s: %s %s",
                report.step,
                printable(finding.check),
                printable(finding.message),
                printable(finding.recommendation),
            )
