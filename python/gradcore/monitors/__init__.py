"""What to watch while a model runs: gains, activations, and what turned non-finite first."""

from gradcore.monitors.activation import ActivationMonitor
from gradcore.monitors.activation_record import ActivationStatistics
from gradcore.monitors.event import NonfiniteEvent, ValueRange
from gradcore.monitors.flow import gradient_flow
from gradcore.monitors.gradient_gain import GradientGainMonitor
from gradcore.monitors.trace import trace_nonfinite
from gradcore.monitors.tracer import NonfiniteTracer

__all__ = [
    "ActivationMonitor",
    "ActivationStatistics",
    "GradientGainMonitor",
    "NonfiniteEvent",
    "NonfiniteTracer",
    "ValueRange",
    "gradient_flow",
    "trace_nonfinite",
]
