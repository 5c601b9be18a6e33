"""A window holds the last values, as a list would."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import training
from gradcore import Window

values = st.lists(st.tuples(st.floats(-1e300, 1e300), st.booleans()), max_size=30)


def tensor(value):
    return torch.tensor(value, dtype=torch.float64)


def filled(size, pushes):
    window = Window(size)
    for value, when in pushes:
        window.push(tensor(value), torch.tensor(when))
    return window


@given(values, st.none() | st.integers(1, 12), st.floats(0.0, 1.0))
def test_it_says_of_its_values_what_numpy_says_of_a_list(pushes, size, share):
    window = filled(size, pushes)
    kept = [value for value, when in pushes if when][-(size or 30) :]

    assert int(window.count) == len(kept)
    if not kept:
        assert (float(window.quantile(share)), float(window.mean())) == (math.inf, 0.0)
        return
    # Divided first, since numpy's sums and differences overflow.
    largest = max(1e-300, *map(abs, kept))
    parts = [value / largest for value in kept]
    near = {"rel": 1e-12, "abs": 1e-12}
    assert float(window.quantile(share)) / largest == pytest.approx(
        np.quantile(parts, share), **near
    )
    assert float(window.mean()) / largest == pytest.approx(np.mean(parts), **near)
    deviation = np.std(parts, ddof=1) if len(parts) > 1 else 0.0
    assert float(window.std()) / largest == pytest.approx(deviation, **near)


def test_several_quantiles_come_at_once():
    window = filled(9, [(float(i), True) for i in range(9)])

    shares = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)
    assert window.quantile(shares).tolist() == [0.0, 2.0, 4.0, 8.0]


def test_what_is_not_finite_does_no_harm_where_it_is_not_taken_in():
    window = filled(3, [(1.0, True), (math.nan, False), (math.inf, False), (3.0, True)])

    assert float(window.mean()) == 2.0


def test_it_is_emptied_only_where_told():
    window = filled(3, [(1.0, True), (2.0, True)])
    window.clear(torch.tensor(data=False))
    assert int(window.count) == 2

    window.clear(torch.tensor(data=True))
    window.push(tensor(7.0), torch.tensor(data=True))
    assert (int(window.count), float(window.mean())) == (1, 7.0)


def test_a_share_of_flags_is_exact():
    window = filled(100, [(float(i % 20 == 0), True) for i in range(100)])

    assert float(window.mean()) == 0.05


def test_an_unbounded_window_grows_and_is_loaded_into_a_fresh_one():
    numbers = [(float(i * 37 % 4001), True) for i in range(3000)]
    window, fresh = filled(None, numbers[:2500]), Window(None)

    fresh.load_state_dict(window.state_dict())
    for value, when in numbers[2500:]:
        for each in (window, fresh):
            each.push(tensor(value), torch.tensor(when))
    assert int(fresh.count) == 3000
    assert float(fresh.quantile(0.5)) == np.median([value for value, _ in numbers])
    assert training.freeze(fresh.state_dict()) == training.freeze(window.state_dict())


@pytest.mark.parametrize("size", [0, -3, 2.5, True])
def test_the_size_must_be_a_whole_number(size):
    with pytest.raises(ValueError, match="size must be a whole number of at least 1; got"):
        Window(size)
