"""Pictures of what was measured.  matplotlib is loaded when the first one is drawn."""

from gradcore.plots.gain import plot_gain

__all__ = ["plot_gain"]
