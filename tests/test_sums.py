"""Sums do not overflow on the way to a total that float64 can hold."""

from __future__ import annotations

import math

import pytest
import torch

import gradcore
from gradients import parameter, parameters

HALF = 20_000
"""So many elements of 1e308 have a sum far beyond float64, whose largest number is 1.8e308."""


def test_huge_elements_of_both_signs_cancel_within_a_gradient():
    gradient = torch.full((2 * HALF,), 1e308, dtype=torch.float64)
    gradient[HALF:] = -1e308

    statistics = gradcore.measure(parameter(gradient), ["sum"])
    assert statistics.sum.tolist() == [0.0]
    assert statistics.total("sum").item() == 0.0


def test_huge_elements_in_turn_cancel_too():
    gradient = torch.tensor([1e308, -1e308], dtype=torch.float64).repeat(HALF)

    assert gradcore.measure(parameter(gradient), ["sum"]).sum.tolist() == [0.0]


def test_huge_imaginary_parts_cancel_too():
    gradient = torch.full((2 * HALF,), complex(2.0, 1e308), dtype=torch.complex128)
    gradient[HALF:] = complex(2.0, -1e308)

    statistics = gradcore.measure(parameter(gradient), ["sum"])
    assert statistics.sum.tolist() == [4.0 * HALF]
    assert statistics.sum_imag.tolist() == [0.0]


def test_huge_gradients_of_both_signs_are_never_nan_together():
    """Each sum alone is beyond float64; that of both is 0, and not the NaN of Inf - Inf."""
    owners = parameters(
        torch.full((HALF,), sign * 1e308, dtype=torch.float64) for sign in (1.0, -1.0)
    )

    statistics = gradcore.measure(owners, ["sum"])
    assert statistics.sum.tolist() == [math.inf, -math.inf]
    assert statistics.total("sum").item() == 0.0


def test_a_report_of_huge_elements_that_cancel_has_a_mean_of_zero():
    gradient = torch.full((2 * HALF,), 1e308, dtype=torch.float64)
    gradient[HALF:] = -1e308

    row = gradcore.Guard(parameter(gradient), needs="all").apply().parameters[0]
    assert row.mean == 0.0
    assert row.max_abs == pytest.approx(1e308)
