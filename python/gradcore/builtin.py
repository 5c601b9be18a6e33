"""Our own plugin: what gradcore offers without any other package, through the door all others use.

The types of the tuples make mypy prove that each class fits its protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcore import strategies
from gradcore.checks import (
    ClipRate,
    Dead,
    Explosion,
    Imbalance,
    LossScale,
    Missing,
    NonfiniteStreak,
    Spike,
    UpdateRatio,
    Vanishing,
)
from gradcore.hooks import hookimpl
from gradcore.nonfinite import (
    Adaptive,
    Detect,
    Propagate,
    Raise,
    Replace,
    Restore,
    Scale,
    Skip,
    Zero,
    ZeroParameter,
)
from gradcore.sinks import Csv, JsonLines, Log, TensorBoard, WeightsAndBiases

if TYPE_CHECKING:
    from gradcore.protocols import ClipStrategy, HealthCheck, NonfinitePolicy, Sink

STRATEGIES: tuple[type[ClipStrategy], ...] = (
    strategies.Adaptive,
    strategies.Ema,
    strategies.GlobalNorm,
    strategies.PerParameterNorm,
    strategies.Percentile,
    strategies.Value,
)
POLICIES: tuple[type[NonfinitePolicy], ...] = (
    Adaptive,
    Detect,
    Propagate,
    Raise,
    Replace,
    Restore,
    Scale,
    Skip,
    Zero,
    ZeroParameter,
)
CHECKS: tuple[type[HealthCheck], ...] = (
    ClipRate,
    Dead,
    Explosion,
    Imbalance,
    LossScale,
    Missing,
    NonfiniteStreak,
    Spike,
    UpdateRatio,
    Vanishing,
)
SINKS: tuple[type[Sink], ...] = (Csv, JsonLines, Log, TensorBoard, WeightsAndBiases)


@hookimpl
def gradcore_clip_strategies() -> tuple[type[ClipStrategy], ...]:
    """Offer the strategies of `gradcore.strategies`."""
    return STRATEGIES


@hookimpl
def gradcore_nonfinite_policies() -> tuple[type[NonfinitePolicy], ...]:
    """Offer the policies of `gradcore.nonfinite`."""
    return POLICIES


@hookimpl
def gradcore_health_checks() -> tuple[type[HealthCheck], ...]:
    """Offer the checks of `gradcore.checks`."""
    return CHECKS


@hookimpl
def gradcore_sinks() -> tuple[type[Sink], ...]:
    """Offer the sinks of `gradcore.sinks`."""
    return SINKS
