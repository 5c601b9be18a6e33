"""What the steps before were like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.parameter_table import Table


def norms_before(history: History, window: int) -> Table:
    """Norms of those of the last ``window`` steps that were taken and finite; float64, 1-d."""
    past = history.to_arrays(last=window)
    bad = past["nan"] + past["posinf"] + past["neginf"] + past["skipped"]
    return np.asarray(past["norm"][(bad == 0) & np.isfinite(past["norm"])])
