"""Gradient health for PyTorch: measure, repair, clip, step and report in one call."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from gradcore.config import GuardConfig
from gradcore.core import measure
from gradcore.errors import (
    DistributedError,
    GradcoreError,
    LogError,
    MonitorError,
    NonfiniteGradientError,
    PluginConflictError,
    PluginError,
    ScalerError,
    UnknownPluginError,
)
from gradcore.functional import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from gradcore.guard import Guard
from gradcore.history import History
from gradcore.hooks import hookimpl
from gradcore.loading import build_info
from gradcore.plan import (
    Clamp,
    Keep,
    Plan,
    Propagate,
    Replace,
    Restore,
    Scale,
    ScaleUnits,
    Skip,
    Stop,
    ZeroElements,
    ZeroParameters,
)
from gradcore.protocols import ClipStrategy, HealthCheck, NonfinitePolicy, Sink
from gradcore.registry import PluginWarning, Registry
from gradcore.repair import repair_, repair_parameters_
from gradcore.report import Counts, Finding, Report
from gradcore.statistics import Statistics
from gradcore.stepping import safe_backward, safe_step
from gradcore.window import Window

if TYPE_CHECKING:
    from gradcore import checks as checks
    from gradcore import monitors as monitors
    from gradcore import nonfinite as nonfinite
    from gradcore import numerics as numerics
    from gradcore import sinks as sinks
    from gradcore import strategies as strategies

__version__: str = build_info()["version"]

_LATER: Final = frozenset({"checks", "monitors", "nonfinite", "numerics", "sinks", "strategies"})
"""Folders that are imported when they are first asked for: not every program needs them."""

if not TYPE_CHECKING:  # type checkers would take it as leave to ask for any name

    def __getattr__(name: str) -> Any:
        """Import one of the folders."""
        if name in _LATER:
            return import_module(f"gradcore.{name}")
        raise AttributeError(f"module 'gradcore' has no attribute {name!r}")


__all__ = [
    "Clamp",
    "ClipStrategy",
    "Counts",
    "DistributedError",
    "Finding",
    "GradcoreError",
    "Guard",
    "GuardConfig",
    "HealthCheck",
    "History",
    "Keep",
    "LogError",
    "MonitorError",
    "NonfiniteGradientError",
    "NonfinitePolicy",
    "Plan",
    "PluginConflictError",
    "PluginError",
    "PluginWarning",
    "Propagate",
    "Registry",
    "Replace",
    "Report",
    "Restore",
    "Scale",
    "ScaleUnits",
    "ScalerError",
    "Sink",
    "Skip",
    "Statistics",
    "Stop",
    "UnknownPluginError",
    "Window",
    "ZeroElements",
    "ZeroParameters",
    "build_info",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "hookimpl",
    "measure",
    "monitors",
    "repair_",
    "repair_parameters_",
    "safe_backward",
    "safe_step",
]
