"""Gains, logarithms of gains and their summary, from norms that are given."""

from __future__ import annotations

import math
import sys

import pytest

from gradcore.monitors.gain_table import gain, gain_report, log_gain, summary

EPS = 1e-30


@pytest.mark.parametrize(
    ("earlier", "later", "ratio", "logarithm"),
    [
        (3.0, 4.0, 0.75, math.log(0.75)),
        (0.0, 4.0, 0.0, -math.inf),
        (3.0, 0.0, math.inf, math.inf),
        (0.0, 0.0, math.inf, math.inf),
        (3.0, 0.9e-30, math.inf, math.inf),
        (3e-30, 1e-30, 3.0, math.log(3.0)),
        (None, 4.0, None, None),
        (3.0, None, None, None),
    ],
)
def test_a_gain_is_the_earlier_norm_over_the_later(earlier, later, ratio, logarithm):
    assert gain(earlier, later, EPS) == (ratio if ratio is None else pytest.approx(ratio))
    assert log_gain(earlier, later, EPS) == (
        logarithm if logarithm is None else pytest.approx(logarithm)
    )


@pytest.mark.parametrize("norms", [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.inf)])
def test_a_norm_that_is_not_finite_gives_no_gain_to_compare(norms):
    assert math.isnan(gain(*norms, EPS))
    assert math.isnan(log_gain(*norms, EPS))


def test_only_a_vanished_norm_gives_an_infinite_gain_and_the_logarithm_does_not_overflow():
    assert gain(1e300, 1e-29, EPS) == sys.float_info.max
    assert log_gain(1e300, 1e-29, EPS) == pytest.approx(329 * math.log(10.0))


def test_the_summary_counts_each_transition_once():
    gains = [3.0, 2.0, 0.5, 0.25, math.inf, None, 0.0]
    log_gains = [math.log(3.0), math.log(2.0), -math.log(2.0), -math.log(4.0), math.inf, None]

    assert summary(gains, [*log_gains, -math.inf]) == {
        "mean_gain": pytest.approx(5.75 / 5),
        "min_gain": 0.0,
        "max_gain": 3.0,
        "mean_log_gain": pytest.approx(math.log(0.75) / 4),
        "num_amplifying": 1,
        "num_damping": 2,
        "num_healthy": 2,
        "num_vanishing": 1,
        "num_missing": 1,
    }


@pytest.mark.parametrize("gains", [[], [None], [math.inf], [1.0, math.nan]])
def test_a_summary_of_nothing_comparable_is_nan(gains):
    numbers = summary(gains, gains)

    assert all(math.isnan(numbers[f"{name}_gain"]) for name in ("mean", "min", "max", "mean_log"))


def test_huge_gains_have_a_mean():
    assert summary([1.5e308, 1.5e308], [])["mean_gain"] == 1.5e308


def test_the_report_names_blocks_norms_gains_and_what_they_are_called():
    text = gain_report(
        ["0 (A)", "1 (B)", "2 (C)"], "l1", [1.0, 4.0, None], [0.25, None], [math.log(0.25), None]
    )

    for line in (
        "0 (A): 1",
        "2 (C): missing",
        "0 <- 1: 0.25, ln -1.386 damping",
        "1 <- 2: missing",
    ):
        assert f"  {line}\n" in text
    assert "norm (l1)" in text
    assert "num_missing: 1" in text
