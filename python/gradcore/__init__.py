"""Gradient health for PyTorch: measure, repair, clip, step and report in one call."""

from gradcore import monitors
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

__version__: str = build_info()["version"]

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
