"""Counts non-finite steps in a row and says so, without flooding a log."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from gradcore.errors import NonfiniteGradientError

if TYPE_CHECKING:
    from gradcore.report import Report

logger = logging.getLogger("gradcore")

NAMED = 5
"""Parameters named in one message at most."""


class Streak:
    """Non-finite steps in a row.

    Args:
        limit: The so-manieth one raises; None for never.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.length = 0

    def see(self, report: Report, *, event: bool, stop: bool) -> None:
        """Take in one step, before anything is changed.

        Raises:
            NonfiniteGradientError: The policy says stop, or there were too many in a row.
        """
        if not event:
            if self.length > 1:
                logger.info(
                    "step %d: finite again after %d non-finite steps in a row",
                    report.step,
                    self.length,
                )
            self.length = 0
        else:
            self.length += 1
        if stop:
            raise NonfiniteGradientError(
                f'{describe(report)} Lower the learning rate, or repair with nonfinite="zero".'
            )
        if event and self.limit is not None and self.length >= self.limit:
            raise NonfiniteGradientError(
                f"{describe(report)} It was non-finite step number {self.length} in a row, and "
                f"max_consecutive={self.limit}. Training has broken down: go back to a checkpoint "
                "and lower the learning rate."
            )
        if event and self.length == 1:
            logger.warning("%s %s", describe(report), consequence(report))


def describe(report: Report) -> str:
    """What was not finite, where and when, in a sentence."""
    if report.nonfinite.total == 0:
        loss = "" if report.loss is None else f"The loss is {report.loss} (step {report.step})."
        return loss or f"A step was not to be trusted (step {report.step})."
    bad = [row for row in report.parameters if row.nan or row.posinf or row.neginf]
    first = next(row for row in bad if row.name == report.first_nonfinite)
    count = first.nan + first.posinf + first.neginf
    sentence = (
        f"{count} of {first.numel} elements of the gradient of {first.name!r} are NaN or infinite "
        f"(step {report.step})."
    )
    others = [repr(row.name) for row in reversed(bad) if row.name != first.name]
    if others:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        sentence += f" So are some of {', '.join(others[:NAMED])}{more}."
    if report.loss is not None and not math.isfinite(report.loss):
        sentence += f" The loss is {report.loss}."
    return sentence


def consequence(report: Report) -> str:
    """What is done about it."""
    if report.skipped:
        return "The step is skipped."
    if report.repaired:
        return f"{report.repaired} elements are repaired."
    return "They are left as they are."
