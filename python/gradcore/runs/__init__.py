"""A whole run in few numbers: what pictures of it and the page about it show."""

from gradcore.runs.findings import Found
from gradcore.runs.grid import Grid
from gradcore.runs.moments import Moments
from gradcore.runs.run import Run, run_of
from gradcore.runs.streaks import Streak

__all__ = ["Found", "Grid", "Moments", "Run", "Streak", "run_of"]
