"""Layers whose gradients are orders of magnitude apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gradcore.checks.layers import Layers, gradient_norms
from gradcore.checks.standing import Mask, in_a_row, require_reach, said
from gradcore.parameter_table import column
from gradcore.report import Finding
from gradcore.validation import require_positive

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.parameter_table import Table
    from gradcore.report import Report


@dataclass(frozen=True, slots=True)
class Imbalance:
    """Warn where the gradient of one layer is by orders of magnitude larger than that of another.

    Compared is the root mean square of the elements of a layer, which is a module with the
    parameters that it holds itself; layers of a gradient of exactly zero are left out.  In a
    healthy transformer they are within a factor of 100.  Said at its onset and then every ``again``
    reports.

    Args:
        ratio: Of the largest to the smallest that is too much, finite and > 0.
        steps: Reports in a row it must be so in, 1 to 100.
        again: Reports until a lasting condition is said once more, 1 to 100.

    Raises:
        ValueError: An option is out of its range.
    """

    name: ClassVar[str] = "imbalance"

    ratio: float = 1e4
    steps: int = 10
    again: int = 100

    def __post_init__(self) -> None:
        require_positive("ratio", self.ratio)
        require_reach("steps", self.steps)
        require_reach("again", self.again)

    def __call__(self, report: Report, history: History) -> Iterator[Finding]:
        if not in_a_row(report, history, self.steps, self._apart).any():
            return
        if any(said(history, self.name, "warning", self.again)):
            return
        layers, means = _root_mean_squares(report)
        large, small = int(np.nanargmax(means)), int(np.nanargmin(means))
        yield Finding(
            check=self.name,
            severity="warning",
            message=f"An element of the gradient of {layers.names[large]!r} is on average "
            f"{means[large] / means[small]:.3g} times as large as one of {layers.names[small]!r} "
            f"({means[large]:.3g} and {means[small]:.3g}).",
            recommendation="Normalise between the two, use residual connections, or initialise for "
            "the depth. Until then let each parameter have its own step: Adam rather than SGD, or "
            'clip="per_parameter_norm".',
            parameters=(*layers.members[large], *layers.members[small]),
            values={
                "ratio": float(means[large] / means[small]),
                "largest": float(means[large]),
                "smallest": float(means[small]),
            },
        )

    def _apart(self, report: Report) -> Mask:
        if not report.parameters:
            return np.zeros(1, dtype=np.bool_)
        _, means = _root_mean_squares(report)
        known = means[~np.isnan(means)]
        return np.array([known.size > 0 and bool(known.max() > self.ratio * known.min())])


def _root_mean_squares(report: Report) -> tuple[Layers, Table]:
    """Of the gradient of each layer; NaN where it is zero or unknown."""
    layers, norms = gradient_norms(report.parameters)
    numels = layers.sums(np.nan_to_num(column(report.parameters, "numel")))
    return layers, np.where(norms > 0.0, norms, np.nan) / np.sqrt(np.maximum(numels, 1.0))
