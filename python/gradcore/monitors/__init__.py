"""What to watch while a model runs: gains between blocks, and what `gradient_flow` reads."""

from gradcore.monitors.flow import gradient_flow
from gradcore.monitors.gradient_gain import GradientGainMonitor

__all__ = ["GradientGainMonitor", "gradient_flow"]
