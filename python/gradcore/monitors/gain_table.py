"""From norms of gradients to gains, their summary and a report."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Final

AMPLIFYING: Final = 2.0
"""Gains above it are called amplifying: a rule of thumb."""

DAMPING: Final = 0.5
"""Gains below it are called damping: a rule of thumb."""

MISSING: Final = "missing"

Values = Sequence[float | None]


def gain(earlier: float | None, later: float | None, eps: float) -> float | None:
    """``earlier / later``; infinite, and only then, if ``later`` is below ``eps``."""
    if earlier is None or later is None:
        return None
    if not (math.isfinite(earlier) and math.isfinite(later)):
        return math.nan
    if later < eps:
        return math.inf
    return min(earlier / later, sys.float_info.max)


def log_gain(earlier: float | None, later: float | None, eps: float) -> float | None:
    """``ln(earlier) - ln(later)``, which overflows nowhere; else like `gain`."""
    ratio = gain(earlier, later, eps)
    if ratio is None or not math.isfinite(ratio) or earlier is None or later is None:
        return ratio
    return math.log(earlier) - math.log(later) if earlier > 0.0 else -math.inf


def summary(gains: Values, log_gains: Values) -> dict[str, float | int]:
    """See `GradientGainMonitor.summary_stats`."""
    kinds = [kind(each) for each in gains]
    comparable = _comparable(gains)
    return {
        "mean_gain": _mean(comparable),
        "min_gain": min(comparable, default=math.nan),
        "max_gain": max(comparable, default=math.nan),
        "mean_log_gain": _mean(_comparable(log_gains)),
        **{
            f"num_{each}": kinds.count(each)
            for each in ("amplifying", "damping", "healthy", "vanishing", MISSING)
        },
    }


def kind(ratio: float | None) -> str:
    """What a gain is called."""
    if ratio is None:
        return MISSING
    if math.isnan(ratio):
        return "not finite"
    if math.isinf(ratio):
        return "vanishing"
    if ratio > AMPLIFYING:
        return "amplifying"
    return "damping" if ratio < DAMPING else "healthy"


def gain_report(
    names: Sequence[str], norm_type: str, norms: Values, gains: Values, log_gains: Values
) -> str:
    """See `GradientGainMonitor.report`."""
    lines = [f"Gradient norm ({norm_type}) at the output of each block"]
    lines += [f"  {name}: {_shown(norm)}" for name, norm in zip(names, norms, strict=True)]
    lines.append("Gain from block to block, backwards (norm before / norm after)")
    for index, (ratio, log) in enumerate(zip(gains, log_gains, strict=True)):
        detail = "" if ratio is None else f" {_shown(ratio)}, ln {_shown(log)}"
        lines.append(f"  {index} <- {index + 1}:{detail} {kind(ratio)}")
    numbers = summary(gains, log_gains)
    lines.append("Summary (bounds 0.5 and 2 are rules of thumb)")
    lines += [f"  {name}: {_shown(value)}" for name, value in numbers.items()]
    return "\n".join(lines)


def _comparable(values: Values) -> list[float]:
    """The finite values; NaN alone if there is one, so that no summary hides it."""
    present = [value for value in values if value is not None]
    if any(math.isnan(value) for value in present):
        return [math.nan]
    return [value for value in present if math.isfinite(value)]


def _mean(values: Sequence[float]) -> float:
    # Divided first: the sum of large gains may be beyond float64 where their mean is not.
    return math.fsum(value / len(values) for value in values) if values else math.nan


def _shown(value: float | None) -> str:
    if value is None:
        return MISSING
    return str(value) if isinstance(value, int) else f"{value:.4g}"
