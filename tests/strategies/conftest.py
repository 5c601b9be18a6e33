"""Statistics for strategies, computed by numpy from the gradients' elements."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcore.statistics import ALWAYS, NEEDS, ROWS, Statistics


def column(values, order):
    """One column of the table; None for a parameter without a gradient."""
    if values is None:
        return dict.fromkeys(ROWS, 0.0)
    x = np.abs(np.asarray(values, dtype=np.float64))
    return {
        "present": 1.0,
        "numel": float(x.size),
        "nan": 0.0,
        "posinf": 0.0,
        "neginf": 0.0,
        "l2": float(np.linalg.norm(x)),
        "l1": float(x.sum()),
        "max_abs": float(x.max(initial=0.0)),
        "sum": float(np.sum(values)),
        "sum_imag": 0.0,
        "zeros": float((x == 0).sum()),
        "lp": float((x**order).sum() ** (1 / order)) if np.isfinite(order) else float("nan"),
    }


@pytest.fixture(scope="session")
def statistics_of():
    """Statistics of lists of finite elements, one a parameter, with only the ``needs`` measured."""

    def build(*gradients, needs=(), order=2.0):
        together = [x for values in gradients if values is not None for x in values]
        columns = [column(values, order) for values in (*gradients, together)]
        measured = ALWAYS | frozenset(needs)
        table = [[c[row] if row in measured else float("nan") for c in columns] for row in ROWS]
        assert set(needs) <= set(NEEDS)
        return Statistics(
            torch.tensor(table, dtype=torch.float64), torch.tensor([True])[0], measured, order
        )

    return build
