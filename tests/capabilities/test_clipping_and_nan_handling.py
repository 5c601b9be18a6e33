"""Clipping and NaN handling: row C1 of what gradcore must be able to do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import gradcore

NAMES = ("encoder.weight", "decoder.weight", "attention.weight")


def guard_of(clip):
    """A guard of three parameters of two elements each."""
    owners = [nn.Parameter(torch.zeros(2, dtype=torch.float64)) for _ in NAMES]
    return owners, gradcore.Guard(list(zip(NAMES, owners, strict=True)), clip=clip)


def give(owners, *norms):
    for owner, norm in zip(owners, norms, strict=True):
        owner.grad = torch.tensor([0.6 * norm, -0.8 * norm], dtype=torch.float64)


def norms_after(owners):
    return [float(torch.linalg.vector_norm(owner.grad)) for owner in owners]


def test_c1_by_norm_keeps_the_direction():
    owners, guard = guard_of(("global_norm", {"max_norm": 1.0}))
    give(owners, 3.0, 4.0, 12.0)
    guard.apply()

    assert norms_after(owners) == pytest.approx([3 / 13, 4 / 13, 12 / 13])


def test_c1_by_value():
    owners, guard = guard_of(("value", {"limit": 2.0}))
    give(owners, 1.0, 3.0, 10.0)
    guard.apply()

    assert [owner.grad.tolist() for owner in owners] == [
        pytest.approx([0.6, -0.8]),
        pytest.approx([1.8, -2.0]),
        [2.0, -2.0],
    ]


def test_c1_per_layer_with_a_bound_for_each_name():
    bounds = {"encoder.weight": 0.8, "decoder.weight": 1.2, "attention.*": 0.6}
    owners, guard = guard_of(("per_parameter_norm", {"bounds": bounds}))
    give(owners, 5.0, 1.0, 5.0)
    report = guard.apply()

    assert norms_after(owners) == pytest.approx([0.8, 1.0, 0.6])
    assert [row.scale for row in report.parameters] == pytest.approx([0.16, 1.0, 0.12])
    with pytest.raises(ValueError, match="'pooler.weight' matches no parameter"):
        guard_of(("per_parameter_norm", {"bounds": {"pooler.weight": 1.0}}))


def test_c1_by_a_percentile_of_recent_norms():
    owners, guard = guard_of(("percentile", {"percentile": 90.0}))
    norms = [float(x) for x in np.random.default_rng(0).lognormal(0.0, 0.5, 60)]
    for norm in [*norms, 1e4]:
        give(owners, norm, 0.0, 0.0)
        report = guard.apply()

    assert report.clipped_norm == pytest.approx(np.percentile(norms, 90.0))


def test_c1_by_an_exponential_moving_average():
    """Alpha 0.9 and floor 0.1, as people know it."""
    owners, guard = guard_of("ema")
    mean = 1.0
    for norm, bound in ((1.0, math.inf), (1.5, 2.0 * mean)):
        give(owners, 0.0, norm, 0.0)
        assert guard.apply().clipped_norm == pytest.approx(min(norm, bound))
    mean = 0.9 * mean + 0.1 * 1.5
    give(owners, 0.0, 0.0, 1e6)
    assert guard.apply().clipped_norm == pytest.approx(2.0 * mean)

    owners, guard = guard_of(("ema", {"alpha": 0.9, "floor": 0.1}))
    for norm in (1e-3, 0.5):
        give(owners, norm, 0.0, 0.0)
        report = guard.apply()
    assert report.clipped_norm == pytest.approx(0.1)


def test_c1_adaptively_so_that_clipping_is_neither_excessive_nor_absent():
    owners, guard = guard_of("adaptive")
    random = np.random.default_rng(0)
    for level in (1.0, 30.0, 0.01):
        clipped = []
        for step in range(500):
            give(owners, float(level * random.lognormal(0.0, 0.3)), 0.0, 0.0)
            report = guard.apply()
            clipped += [report.clipped] if step >= 100 else []
        assert 0.01 < np.mean(clipped) < 0.1
