"""Pictures of what was measured.  matplotlib is loaded when the first one is drawn."""

from gradcore.plots.gain import plot_gain
from gradcore.plots.overview import plot_run

__all__ = ["plot_gain", "plot_run"]
