"""Updates that are too large, or too small, for what they change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from gradcore.checks.layers import Layers, layers_of
from gradcore.checks.standing import Mask, in_a_row, require_reach, said, unsaid
from gradcore.checks.wording import counted, listed
from gradcore.parameter_table import column, names_of
from gradcore.report import Finding
from gradcore.validation import require_positive, require_threshold

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.parameter_table import Table
    from gradcore.report import Report

USUAL: Final = 1e-3


@dataclass(frozen=True, slots=True)
class UpdateRatio:
    """Compare ``lr * |g| / |w|`` of each layer, after clipping, with the usual 1e-3.

    That is the relative length of a step of plain SGD.  For Adam and its like, which divide the
    gradient by its own size, it is a proxy at best: their steps are larger, about ``lr`` for each
    element.  Momentum of 0.9 makes steps ten times as long too.  The limits are wide accordingly.

    A warning of layers above ``high``, an information where every layer is below ``low``; nothing
    where the learning rate is unknown or the step is skipped.  Said of a layer at its onset and
    then every ``again`` reports.  Parameters are measured for this as well, on steps that are
    looked at, which is another read as long as that of the gradients.

    Args:
        high: Ratio that is too large, > 0; infinite for never.
        low: Ratio that is too small, finite and > 0.
        steps: Reports in a row it must be so in, 1 to 100.  A layer that begins at zero has large
            ratios at first, of about 1 / n in its n-th step.
        again: Reports until a lasting condition is said once more, 1 to 100.

    Raises:
        ValueError: An option is out of its range.

    Source:
        The rule of 1e-3: A. Karpathy et al., course notes of Stanford's CS231n, "Neural Networks
        Part 3: Learning and Evaluation", section "Ratio of weights:updates".
    """

    name: ClassVar[str] = "update_ratio"
    needs: ClassVar[tuple[str, ...]] = ("parameter_l2",)

    high: float = 1e-1
    low: float = 1e-7
    steps: int = 20
    again: int = 100

    def __post_init__(self) -> None:
        require_threshold("high", self.high)
        require_positive("low", self.low)
        require_reach("steps", self.steps)
        require_reach("again", self.again)

    def __call__(self, report: Report, history: History) -> Iterator[Finding]:
        if not report.parameters:
            return
        large = in_a_row(report, history, self.steps, self._large)
        if large.any():
            yield from self._too_large(report, history, large)
        elif in_a_row(report, history, self.steps, self._all_small).any():
            if any(said(history, self.name, "info", self.again)):
                return
            _, ratios = _ratios(report)
            yield Finding(
                check=self.name,
                severity="info",
                message=f"No step changes a layer by more than {np.nanmax(ratios):.3g} of it; "
                f"{USUAL:.0e} is usual.",
                recommendation="Raise the learning rate, unless the optimizer scales gradients up "
                "by itself as Adam does, or the schedule has come to its end.",
                values={"largest": float(np.nanmax(ratios)), "usual": USUAL, "low": self.low},
            )

    def _too_large(self, report: Report, history: History, large: Mask) -> Iterator[Finding]:
        layers, ratios = _ratios(report)
        names = [name for i in np.flatnonzero(large) for name in layers.members[i]]
        new = set(unsaid(names, history, self.name, "warning", self.again))
        concerned = [i for i in np.flatnonzero(large) if not new.isdisjoint(layers.members[i])]
        if not concerned:
            return
        which = [layers.names[i] for i in concerned]
        largest = float(ratios[concerned].max())
        yield Finding(
            check=self.name,
            severity="warning",
            message=f"Steps change {counted(len(which), 'layer')} by {largest:.3g} of the weights "
            f"and less, {USUAL:.0e} is usual: {listed(which)}.",
            recommendation=f"Lower the learning rate of these, by about {largest / USUAL:.1g} "
            "times for plain SGD, or clip their gradients.",
            parameters=tuple(name for i in concerned for name in layers.members[i]),
            values={"largest": largest, "usual": USUAL, "high": self.high},
        )

    def _large(self, report: Report) -> Mask:
        _, ratios = _ratios(report)
        return ratios > self.high

    def _all_small(self, report: Report) -> Mask:
        _, ratios = _ratios(report)
        known = ratios[~np.isnan(ratios)]
        return np.array([known.size > 0 and bool(known.max() < self.low)])


def _ratios(report: Report) -> tuple[Layers, Table]:
    """Relative length of the step of each layer; NaN where there is none."""
    rows = report.parameters
    layers = layers_of(names_of(rows))
    if report.skipped:
        return layers, np.full(len(layers.names), np.nan)
    steps = column(rows, "lr") * column(rows, "scale") * column(rows, "norm")
    taken = ~np.isnan(steps)
    weights = np.where(taken, column(rows, "parameter_norm"), 0.0)
    changes = layers.norms(np.where(taken, steps, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = changes / layers.norms(weights)
    return layers, np.where(layers.sums(taken * 1.0) > 0, ratios, np.nan)
