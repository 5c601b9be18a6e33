"""A grid holds the largest norm of each parameter and stretch of steps, however many there are."""

from __future__ import annotations

import math

import numpy as np
import pytest

import recorded
from gradcore.runs.grid import MOST_CELLS, MOST_COLUMNS, MOST_ROWS, GridBuilder


def built(norms, bad=None, *, steps=None, names=None):
    """The grid of norms ``[steps, parameters]``."""
    norms = np.asarray(norms, float)
    bad = np.zeros(norms.shape) if bad is None else np.asarray(bad, float)
    names = names or [f"p{i}" for i in range(norms.shape[1])]
    builder = GridBuilder(names, len(norms))
    for i, row in enumerate(norms):
        columns = {"norm": row, "nan": bad[i], "posinf": 0 * bad[i], "neginf": 0 * bad[i]}
        builder.add(i if steps is None else steps[i], names, columns.__getitem__)
    return builder.grid()


def test_few_steps_and_parameters_have_a_cell_each():
    norms = np.random.default_rng(0).lognormal(0, 3, (7, 3))
    grid = built(norms, steps=range(0, 70, 10))

    np.testing.assert_allclose(
        grid.log_norm, [[math.log10(x) for x in row] for row in norms.T], 1e-6
    )
    assert grid.first.tolist() == grid.last.tolist() == list(range(0, 70, 10))
    assert (grid.names, grid.parameters, grid.steps) == (["p0", "p1", "p2"], 3, 7)


def test_many_steps_share_cells_that_hold_the_largest_norm():
    steps = 2 * MOST_COLUMNS + 500
    norms = np.random.default_rng(0).lognormal(0, 1, (steps, 1))
    grid = built(norms)

    assert grid.log_norm.shape == (1, MOST_COLUMNS)
    assert grid.first[0] == 0
    assert grid.last[-1] == steps - 1
    assert (grid.first[1:] == grid.last[:-1] + 1).all()
    for first, last, cell in zip(grid.first, grid.last, grid.log_norm[0], strict=True):
        assert cell == pytest.approx(math.log10(norms[first : last + 1].max()), abs=1e-6)


def test_many_parameters_share_rows_and_cells_stay_few():
    count = 2 * MOST_ROWS + 1
    grid = built(np.arange(1.0, 401.0)[:, None] * np.ones(count), np.eye(400, count))

    assert len(grid.names) <= MOST_ROWS
    assert grid.names[0] == "p0 … p2"
    assert grid.names[-1] == "p1998 … p2000"
    assert grid.log_norm.size <= MOST_CELLS
    assert grid.nonfinite.sum() == 400
    assert grid.first_nonfinite[1] == 3


def test_zero_unknown_and_infinite_norms_are_told_apart():
    grid = built([[0.0, math.nan, math.inf, 1.0]])

    assert grid.log_norm[0, 0] == -math.inf
    assert np.isnan(grid.log_norm[1:3, 0]).all()
    assert grid.nonfinite[:, 0].tolist() == [0, 0, 1, 0]


def test_every_nonfinite_step_is_counted_and_the_first_is_known():
    bad = np.zeros((3000, 2))
    bad[[1700, 1701, 2999], 1] = 5
    grid = built(np.ones((3000, 2)), bad)

    assert grid.nonfinite.sum(1).tolist() == [0, 3]
    assert np.isnan(grid.first_nonfinite[0])
    assert grid.first_nonfinite[1] == 1700


def test_parameters_that_come_and_go_keep_their_rows():
    run = recorded.run(
        recorded.step(0, [1.0, 10.0], names=("a", "b")), recorded.step(1, [100.0], names=("b",))
    )

    np.testing.assert_allclose(run.grid.log_norm, [[0.0, math.nan], [1.0, 2.0]])
