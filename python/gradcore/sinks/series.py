"""What a report has for a tool that draws curves: numbers by name, and the spread of norms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.report import Counts
from gradcore.scalars import KINDS

if TYPE_CHECKING:
    import numpy.typing as npt

    from gradcore.report import Report

BINS = 30

PREFIX = "gradcore/"
"""Of the names of series: TensorBoard, W&B and MLflow group by what is before the slash."""


def series_of(report: Report, *, per_parameter: bool) -> dict[str, float]:
    """The numbers of a report that a curve can show, by name.

    Flags are 0 and 1, counts are totals; what is None is left out.  ``gradcore/warnings`` is how
    many findings are a warning or critical.

    Args:
        report: The report.
        per_parameter: Also the norm of each gradient, as ``gradcore/norm/<parameter>``.
    """
    series = {name: _number(getattr(report, name)) for name in KINDS if name != "step"}
    series["warnings"] = float(sum(found.severity != "info" for found in report.findings))
    if per_parameter:
        series |= {f"norm/{row.name}": row.norm for row in report.parameters}
    return {PREFIX + name: value for name, value in series.items() if value is not None}


def spread_of_norms(report: Report) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]] | None:
    """A histogram of log10 of the norms of the gradients of single parameters.

    Their orders of magnitude tell which vanish and which explode; norms of 0 have none.

    Returns:
        Counts and the edges between them, one more; None if there is no such norm.
    """
    norms = [row.norm for row in report.parameters if row.norm]
    logarithms = [math.log10(norm) for norm in norms if math.isfinite(norm)]
    if not logarithms:
        return None
    counts, edges = np.histogram(logarithms, bins=BINS)
    return counts.astype(np.int64), edges


def _number(value: Any) -> float | None:
    if isinstance(value, Counts):
        return float(value.total)
    return None if value is None or isinstance(value, str) else float(value)
