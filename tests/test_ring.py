"""A `Ring` holds the last rows: what a list would hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcore.ring import Ring

acts = st.lists(st.sampled_from(["append"] * 8 + ["pop"]), max_size=400)


@given(st.integers(1, 200), acts)
def test_it_holds_what_a_list_would(capacity, todo):
    ring, wanted = Ring(capacity, 2), []
    for i, act in enumerate(todo):
        if act == "append":
            ring.append([i, -i])
            wanted = [*wanted, [i, -i]][-capacity:]
        elif wanted:
            ring.pop()
            del wanted[-1]
    assert ring.rows().tolist() == wanted
    assert [ring[i].tolist() for i in range(len(ring))] == wanted


@pytest.mark.parametrize("held", [0, 3, 70, 500])
@pytest.mark.parametrize("capacity", [1, 3, 64, 100, 1000])
def test_bounded_keeps_the_newest_and_goes_on(held, capacity):
    ring = Ring(1000, 1)
    for i in range(held):
        ring.append([i])

    smaller = ring.bounded(capacity)
    for i in range(held, held + 150):
        smaller.append([i])
    wanted = [[i] for i in range(held)][-capacity:] + [[i] for i in range(held, held + 150)]
    assert smaller.rows().tolist() == wanted[-capacity:]


def test_rows_are_a_copy():
    ring = Ring(3, 1)
    ring.append([1.0])
    ring.rows()[:] = 9.0

    assert ring.rows() == np.array([[1.0]])
