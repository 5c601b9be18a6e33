"""Cells of a grid are drawn at their steps, with colours that tell most of them apart."""

from __future__ import annotations

import math

import pytest

import recorded
from gradcore.runs.placing import colour_range, layout, starts


def test_it_is_known_where_something_turns_nonfinite():
    bad = {3: [1], 4: [1, 2], 5: [], 6: [1]}
    run = recorded.run(*(recorded.step(n, bad=bad.get(n, ())) for n in range(8)))

    column, row = starts(run.grid)
    assert list(zip(run.grid.first[column].tolist(), row.tolist(), strict=True)) == [
        (3, 1),
        (4, 2),
        (6, 1),
    ]


def test_of_neighbours_that_turn_at_once_the_last_is_where_it_began():
    run = recorded.run(recorded.step(0), recorded.step(1, bad=[0, 1]), recorded.step(2, bad=[0, 2]))

    assert [places.tolist() for places in starts(run.grid)] == [[1, 2], [1, 2]]


def test_steps_that_were_not_looked_at_are_a_gap():
    run = recorded.run(*(recorded.step(n) for n in (0, 10, 20, 100, 110)))
    edges, order = layout(run.grid, run.spacing)

    assert edges.tolist() == [0, 10, 20, 30, 100, 110, 120]
    assert order.tolist() == [0, 1, 2, -1, 3, 4]


def test_one_spike_does_not_take_all_the_colours():
    steps = [recorded.step(n, [1.0, 10.0, 1e9 if n == 50 else 5.0]) for n in range(100)]

    assert colour_range(recorded.run(*steps).grid) == pytest.approx((0.0, 1.0))
    assert colour_range(recorded.run(recorded.step(0, [math.nan] * 3)).grid) == (-1.0, 1.0)
