"""Questions to every finished report, one a file: what is wrong, how badly, and what to do.

``Guard(checks="default")`` asks those of `DEFAULT`, ``checks=["default", "update_ratio"]`` one
more, and ``checks=["default", ("vanishing", {"below": 1e-9})]`` one of them with another threshold.

They look at reports alone, so with ``Guard(every=k)`` a step here is every k-th one.  A condition
that lasts is said at its onset and then once in a while, never every step; what was said already is
read from the history, which holds findings and rows of its last 100 reports.
"""

from typing import Final

from gradcore.checks.clip_rate import ClipRate
from gradcore.checks.dead import Dead
from gradcore.checks.explosion import Explosion
from gradcore.checks.imbalance import Imbalance
from gradcore.checks.loss_scale import LossScale
from gradcore.checks.missing import Missing
from gradcore.checks.nonfinite_streak import NonfiniteStreak
from gradcore.checks.spike import Spike
from gradcore.checks.update_ratio import UpdateRatio
from gradcore.checks.vanishing import Vanishing

DEFAULT: Final = (
    "explosion",
    "vanishing",
    "nonfinite_streak",
    "spike",
    "dead",
    "missing",
    "imbalance",
    "loss_scale",
)
"""Names of the checks that ``"default"`` stands for: those that have nothing more measured and that
make sense of any run.  `UpdateRatio` has the parameters read as well, and `ClipRate` is about a
bound that not everybody sets: ask for them."""

__all__ = [
    "DEFAULT",
    "ClipRate",
    "Dead",
    "Explosion",
    "Imbalance",
    "LossScale",
    "Missing",
    "NonfiniteStreak",
    "Spike",
    "UpdateRatio",
    "Vanishing",
]
