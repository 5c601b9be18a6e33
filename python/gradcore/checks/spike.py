"""Steps that stand out of the ones around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from gradcore.checks.past import norms_before
from gradcore.report import Finding
from gradcore.validation import require_count, require_positive

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.report import Report

CONSISTENT: Final = 0.6745
"""The upper quartile of the standard normal distribution: MAD / 0.6745 estimates its sigma."""

SMALLEST: Final = 0.01
"""MAD as a share of the median at least, so that a constant norm does not make all else a spike."""


@dataclass(frozen=True, slots=True)
class Spike:
    """Tell of a step whose norm is an outlier among the ones before.

    The robust z-score is ``0.6745 (norm - median) / MAD``, with the median and the median absolute
    deviation from it of the norms before this one.  A step is a spike if the score is at least
    ``z`` and the norm ``factor`` times the median.  Gradient norms have far heavier tails than a
    normal distribution, and drift: scores of 15 occur in a healthy run, hence the high default.
    A warning where the step was taken unclipped, an information where it was clipped or skipped.
    Of several in a row the first is said, since a new level is no spike: see `Explosion` for that.

    Args:
        z: Robust z-score that makes a spike, finite and > 0.
        factor: Times the median that a spike is at least, finite and > 0.
        window: Reports that are compared with, >= 1.
        warmup: Finite norms among them that there must be, >= 1.

    Raises:
        ValueError: An option is out of its range.

    Source:
        B. Iglewicz and D. C. Hoaglin, "How to Detect and Handle Outliers", ASQC Quality Press,
        1993, section 3.3, modified z-scores.
    """

    name: ClassVar[str] = "spike"

    z: float = 20.0
    factor: float = 2.0
    window: int = 100
    warmup: int = 20

    def __post_init__(self) -> None:
        require_positive("z", self.z)
        require_positive("factor", self.factor)
        require_count("window", self.window)
        require_count("warmup", self.warmup)

    def __call__(self, report: Report, history: History) -> Iterator[Finding]:
        before = norms_before(history, self.window)
        if len(before) < self.warmup or not np.isfinite(report.norm):
            return
        median = float(np.median(before))
        if median == 0.0:
            return
        spread = max(float(np.median(np.abs(before - median))), SMALLEST * median)
        limit = max(self.factor * median, median + self.z * spread / CONSISTENT)
        if not report.norm >= limit > before[-1]:
            return
        z = CONSISTENT * (report.norm - median) / spread
        bounded = report.clipped or report.skipped
        yield Finding(
            check=self.name,
            severity="info" if bounded else "warning",
            message=f"The gradient's norm of {report.norm:.3g} stands out of the last {len(before)}"
            f" with their median of {median:.3g}: robust z-score {z:.3g}.",
            recommendation="Look at the data of this step. It was "
            + (
                f"{'skipped' if report.skipped else 'clipped'}, so nothing else need be done."
                if bounded
                else f"taken as it is: bound the norm, for instance by Guard(max_norm="
                f"{2.0 * median:.2g})."
            ),
            values={"norm": report.norm, "median": median, "z": z},
        )
