"""Statistics of a step that can be trusted, and of one that cannot."""

from __future__ import annotations

import pytest
import torch

from gradcore.statistics import ROWS, Statistics


def statistics(*, nan: float, trusted: bool) -> Statistics:
    """Of one gradient of ten elements, ``nan`` of which are NaN and the others 1."""
    table = torch.zeros(len(ROWS), 2, dtype=torch.float64)
    table[ROWS.index("present")] = 1.0
    table[ROWS.index("numel")] = 10.0
    table[ROWS.index("nan")] = nan
    table[ROWS.index("l2")] = (10.0 - nan) ** 0.5
    return Statistics(table, torch.tensor([trusted])[0])


@pytest.fixture
def good() -> Statistics:
    return statistics(nan=0.0, trusted=True)


@pytest.fixture
def bad() -> Statistics:
    return statistics(nan=3.0, trusted=False)


@pytest.fixture
def bad_loss() -> Statistics:
    """Gradients are finite, the loss is not."""
    return statistics(nan=0.0, trusted=False)
