"""Counts non-finite steps in a row and says so, without flooding a log."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gradcore.errors import NonfiniteGradientError
from gradcore.validation import require_count

if TYPE_CHECKING:
    from gradcore.report import Report

logger: logging.Logger = logging.getLogger("gradcore")

REMINDERS = frozenset({10, 100, 1000, 10_000})
"""Lengths of a streak at which it is mentioned again."""

NAMED = 5
"""Parameters named in one message at most."""


class Streak:
    """Non-finite steps in a row.

    Args:
        limit: The so-manieth one is an error; None, or infinity, for never.
    """

    def __init__(self, limit: float | None) -> None:
        never = limit is None or limit == math.inf  # the latter is for files: TOML has no None
        self.limit: int | None = None if never else require_count("max_consecutive", limit)
        self.length: int = 0
        self.skips: int = 0

    def see(
        self, report: Report, *, event: bool, stop: bool, parameters: Sequence[str] = ()
    ) -> NonfiniteGradientError | None:
        """Take in one step, before anything is changed.

        Args:
            report: Of the step.
            event: Something was not finite.
            stop: The policy or the strategy says stop.
            parameters: Names of the parameters that are not finite themselves, if that is known.

        Returns:
            What to raise if the policy says stop, or there were too many in a row.
        """
        if not event:
            if self.length > 1:
                logger.warning(
                    "Finite again (step %d) after %d non-finite steps in a row.",
                    report.step,
                    self.length,
                )
            self.length = 0
            return self._see_skip(report, stop=stop)
        self.length += 1
        self.skips = 0
        if stop:
            cure = "Lower the learning rate"
            if report.nonfinite.total:
                cure += ', or repair with nonfinite="zero"'
            return NonfiniteGradientError(f"{describe(report, parameters)} {cure}.")
        if self.limit is not None and self.length >= self.limit:
            return NonfiniteGradientError(
                f"{describe(report, parameters)} It was non-finite step number {self.length} in a "
                f"row, and max_consecutive={self.limit}. Training has broken down: go back to a "
                "checkpoint and lower the learning rate."
            )
        if self.length == 1:
            logger.warning("%s %s", describe(report, parameters), consequence(report))
        elif self.length in REMINDERS:
            logger.warning(
                "%d non-finite steps in a row. %s", self.length, describe(report, parameters)
            )
        return None

    def _see_skip(self, report: Report, *, stop: bool) -> NonfiniteGradientError | None:
        """A strategy may skip or stop too, though everything is finite."""
        if stop:
            return NonfiniteGradientError(
                f"The strategy said stop at norm {report.norm:.3g} (step {report.step})."
            )
        self.skips = self.skips + 1 if report.skipped else 0
        if self.skips == 1:
            logger.warning(
                "The step is skipped at norm %.3g, as the strategy said (step %d).",
                report.norm,
                report.step,
            )
        return None


def describe(report: Report, parameters: Sequence[str] = ()) -> str:
    """What was not finite, where and when, in a sentence or a few."""
    sentences = [_of_gradients(report)] if report.nonfinite.total else []
    if parameters:
        count = report.nonfinite_parameters.total
        sentences.append(
            f"{_counted(count)} NaN or infinite in the parameters themselves: "
            f"{_listed(map(repr, parameters))} (step {report.step})."
        )
    if report.loss is not None and not math.isfinite(report.loss):
        when = "" if sentences else f" (step {report.step})"
        sentences.append(f"The loss is {report.loss}{when}.")
    if report.nonfinite_ranks is not None:
        sentences.append(f"It was on rank {report.nonfinite_ranks}.")
    return " ".join(sentences) or f"A step was not to be trusted (step {report.step})."


def _of_gradients(report: Report) -> str:
    bad = [row for row in report.parameters if row.nan or row.posinf or row.neginf]
    first = next(row for row in bad if row.name == report.first_nonfinite)
    count = first.nan + first.posinf + first.neginf
    sentence = (
        f"{count} of {first.numel} elements of the gradient of {first.name!r} are NaN or infinite "
        f"(step {report.step})."
    )
    others = [repr(row.name) for row in reversed(bad) if row.name != first.name]
    return f"{sentence} So are some of {_listed(others)}." if others else sentence


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return ", ".join(every[:NAMED]) + more


def _counted(elements: int) -> str:
    return "1 element is" if elements == 1 else f"{elements} elements are"


def consequence(report: Report) -> str:
    """What is done about it."""
    if report.restored:
        return "The step is skipped, parameters and optimizer state are rolled back."
    if report.skipped:
        return "The step is skipped."
    if report.repaired:
        return f"{_counted(report.repaired)} repaired."
    if report.nonfinite.total or report.nonfinite_parameters.total:
        return "They are left as they are."
    return "The step is taken all the same."
