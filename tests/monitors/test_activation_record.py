"""Statistics of activations that arrive in pieces, against numpy over all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gradcore.monitors.activation_record import ActivationRecord, wide


def record_of(*passes, bounds=None, window=10):
    pieces = [wide(torch.as_tensor(each)) for each in passes]
    record = ActivationRecord(pieces[0], bounds, window)
    for piece in pieces:
        record.add(piece)
    return record


def draws(count, units=4, elements=50, mean=0.0, spread=1.0):
    generator = np.random.default_rng(count)
    return [mean + spread * generator.standard_normal((units, elements)) for _ in range(count)]


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_mean_and_deviation_are_those_of_all_elements(offset):
    passes = draws(7, mean=offset)
    everything = np.concatenate(passes, axis=1).astype(np.longdouble)

    found = record_of(*passes).statistics()
    assert found.mean == pytest.approx(float(everything.mean()), rel=1e-12)
    assert found.std == pytest.approx(float(everything.std()), rel=1e-6)
    assert found.smallest == everything.min()
    assert found.largest == everything.max()
    assert (found.passes, found.units) == (7, 4)


def test_elements_that_are_not_finite_count_by_themselves():
    values = np.array([[1.0, math.nan, 3.0], [math.inf, -math.inf, 5.0]])

    found = record_of(values).statistics()
    assert found.nonfinite == 3
    assert (found.mean, found.smallest, found.largest) == (3.0, 1.0, 5.0)
    assert found.std == pytest.approx(np.std([1.0, 3.0, 5.0]))


def test_a_unit_is_dead_if_it_never_was_anything_else():
    first = np.array([[0.0, 1e-7], [0.0, 0.0], [1e-3, 0.0], [0.0, math.nan]])
    second = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, -1e-3], [0.0, 0.0]])

    record = record_of(first, second)
    assert record.dead(1e-6) == 1 / 4
    assert record.dead(1e-8) == 0.0
    assert record.dead(1e-2) == 2 / 4
    assert record.statistics().dead == 1 / 4
    assert record.statistics().near_zero == 12 / 15


def test_what_lies_at_the_ends_of_its_range_is_saturated():
    values = np.array([[0.0, 0.009, 0.011, 0.5, 0.989, 0.991, 1.0, math.nan]])

    assert record_of(values, bounds=(0.0, 1.0)).statistics().saturated == 4 / 7
    assert record_of(values).statistics().saturated is None


def test_a_shift_is_the_frechet_distance_of_windows_by_the_spread_of_the_first():
    """Known from numpy: windows of two passes; the passes between them do not count."""
    passes = [*draws(2), *draws(2, mean=9.0), *draws(2, mean=0.5, spread=3.0), *draws(1, mean=99.0)]
    before, now = (np.concatenate(passes[i : i + 2], axis=1) for i in (0, 4))
    moved = (now.mean(1) - before.mean(1)) ** 2 + (now.std(1) - before.std(1)) ** 2
    expected = math.sqrt(moved.mean() / before.var(1).mean())

    assert record_of(*passes, window=2).statistics().shift == pytest.approx(expected, rel=1e-9)
    assert record_of(*passes[:3], window=2).statistics().shift is None


def test_a_distribution_that_stays_has_not_shifted_and_one_that_was_constant_has_without_bound():
    constant, other = np.ones((2, 3)), np.full((2, 3), 2.0)

    assert record_of(constant, constant, window=1).statistics().shift == 0.0
    assert record_of(constant, other, window=1).statistics().shift == math.inf


@pytest.mark.parametrize("shape", [(3, 0), (0, 3)])
def test_nothing_has_no_statistics(shape):
    found = record_of(np.zeros(shape)).statistics()

    assert (found.units, found.dead) == (shape[0], 1.0 if shape[0] else 0.0)
    assert all(math.isnan(each) for each in (found.mean, found.std, found.smallest, found.largest))
