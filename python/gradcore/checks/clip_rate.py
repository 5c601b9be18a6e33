"""Clipping that is always at work, or never."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gradcore.checks.standing import require_reach, said
from gradcore.report import Finding
from gradcore.validation import require_count, require_share

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.report import Report


@dataclass(frozen=True, slots=True)
class ClipRate:
    """Tell where nearly every step is clipped, or none has been for long.

    Informations, since a run can be healthy with either.  A report does not say whether a bound was
    set at all: ask for this check where one is.  Too much clipping is said at its onset and then
    every ``again`` reports; its absence once, and anew after the next clipped step.

    Args:
        share: Of the last ``window`` steps clipped that is too much, in (0, 1].
        window: Reports that the share is of, >= 1.
        idle: Reports in a row without a clipped step that are worth mentioning, >= 1; the history
            must be able to hold as many.
        again: Reports until a lasting condition is said once more, 1 to 100.

    Raises:
        ValueError: An option is out of its range.
    """

    name: ClassVar[str] = "clip_rate"

    share: float = 0.95
    window: int = 100
    idle: int = 1000
    again: int = 100

    def __post_init__(self) -> None:
        require_share("share", self.share)
        require_count("window", self.window)
        require_count("idle", self.idle)
        require_reach("again", self.again)

    def __call__(self, report: Report, history: History) -> Iterator[Finding]:
        past = history.to_arrays(last=max(self.window, self.idle))
        clipped = np.append(past["clipped"], report.clipped) > 0.0
        recent = clipped[-self.window :]
        share = float(recent.mean())
        if len(recent) == self.window and share >= self.share:
            if any(said(history, self.name, "info", self.again)):
                return
            yield Finding(
                check=self.name,
                severity="info",
                message=f"{share:.0%} of the last {self.window} steps were clipped; the norm's "
                f"median was {np.median([*past['norm'][1 - self.window :], report.norm]):.3g}.",
                recommendation="The bound, not the gradient, sets the length of the step: with SGD "
                "that is another learning rate. Raise the bound, or let it follow the norms: "
                'clip="percentile".',
                values={"share": share, "window": float(self.window)},
            )
        elif len(clipped) >= self.idle and _since(clipped) == self.idle:
            yield Finding(
                check=self.name,
                severity="info",
                message=f"None of the last {self.idle} steps was clipped; the largest norm was "
                f"{np.max([*past['norm'][1 - self.idle :], report.norm]):.3g}.",
                recommendation="The bound does nothing: set it to a few times the usual norm, so "
                "that it is there when a spike comes.",
                values={"share": 0.0, "window": float(self.idle)},
            )


def _since(clipped: np.ndarray) -> int:
    """Steps at the end that were not clipped."""
    hits = np.flatnonzero(clipped)
    return len(clipped) - (int(hits[-1]) + 1 if hits.size else 0)
