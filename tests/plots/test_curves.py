"""Curves show every step: what has no place on the axis is marked, what is unknown is a gap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

import recorded
import reports
from gradcore import Counts
from gradcore.plots.curves import draw_clipping, draw_loss, draw_nonfinite, draw_norm


def drawn(draw, *steps):
    axes = Figure().add_subplot()
    draw(axes, recorded.run(*steps))
    axes.figure.canvas.draw()
    return axes


def line(axes, label):
    (found,) = [each for each in axes.lines if each.get_label().startswith(label)]
    return np.asarray(found.get_xdata()).tolist(), np.asarray(found.get_ydata()).tolist()


def test_a_loss_that_is_not_finite_is_a_cross_and_one_not_given_a_gap():
    losses = [1.0, None, math.nan, 2.0, math.inf]
    axes = drawn(draw_loss, *(reports.report(n, loss=loss) for n, loss in enumerate(losses)))

    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1.0, *[math.nan] * 2, 2.0, math.nan])
    assert line(axes, "loss not finite")[0] == [2, 4]


@pytest.mark.parametrize(
    ("losses", "scale"), [((1.0, 100.0), "log"), ((1.0, 5.0), "linear"), ((-1.0, 1e5), "linear")]
)
def test_losses_that_span_decades_are_drawn_logarithmically(losses, scale):
    axes = drawn(draw_loss, *(reports.report(n, loss=loss) for n, loss in enumerate(losses)))

    assert axes.get_yscale() == scale


def test_norms_before_and_after_and_the_bound():
    axes = drawn(
        draw_norm,
        reports.report(0, 4.0, clipped_norm=1.0, scale=0.25, clipped=True),
        reports.report(1, 0.5),
    )

    assert line(axes, "before clipping")[1] == [4.0, 0.5]
    assert line(axes, "after")[1] == [1.0, 0.5]
    np.testing.assert_array_equal(line(axes, "bound")[1], [1.0, math.nan])
    assert axes.get_yscale() == "log"
    assert "loss per unit of parameter" in axes.get_ylabel()


def test_norms_that_are_not_finite_zero_or_of_a_part_have_marks():
    axes = drawn(
        draw_norm,
        reports.report(0, 2.0, nonfinite=Counts(nan=1), skipped=True),
        reports.report(1, math.inf, nonfinite=Counts(posinf=1)),
        reports.report(2, 0.0),
        reports.report(3, 3.0),
    )

    np.testing.assert_array_equal(line(axes, "before clipping")[1], [*[math.nan] * 3, 3.0])
    assert line(axes, "of the finite elements") == ([0], [2.0])
    assert line(axes, "norm not finite")[0] == [1]
    assert line(axes, "zero")[0] == [2]


def test_nonfinite_elements_are_counted_by_kind():
    axes = drawn(
        draw_nonfinite,
        reports.report(0),
        reports.report(1, nonfinite=Counts(nan=5)),
        reports.report(2, nonfinite=Counts(nan=1, posinf=1000)),
    )

    assert line(axes, "NaN") == ([1, 2], [5, 1])
    assert line(axes, "+Inf") == ([2], [1000])
    assert axes.get_yscale() == "log"
    assert len({each.get_marker() for each in axes.lines}) == 2


def test_a_single_nonfinite_element_has_a_decade_to_stand_in():
    """Else the axis of a count is labelled in tenths of an element."""
    axes = drawn(draw_nonfinite, reports.report(0), reports.report(1, nonfinite=Counts(nan=1)))

    assert axes.get_ylim() == (0.7, 10.0)


def test_it_is_said_that_nothing_was_nonfinite():
    axes = drawn(draw_nonfinite, reports.report(0))

    assert [text.get_text() for text in axes.texts] == ["none, in any step"]


def test_the_share_of_clipped_steps_is_of_the_last_ones():
    clipped = [n % 4 == 0 for n in range(100)]
    axes = drawn(
        draw_clipping,
        *(reports.report(n, scale=0.5 if c else 1.0, clipped=c) for n, c in enumerate(clipped)),
    )

    assert line(axes, "factor")[0] == list(range(0, 100, 4))
    expected = [np.mean(clipped[max(0, n - 9) : n + 1]) for n in range(100)]
    assert line(axes, "share of the last 10")[1] == pytest.approx(expected)
