"""Row F10: telemetry tells what was done: norms before and after, clipping, skips, repairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import gradcore

STEPS = 200
MAX_NORM = 2.0


@pytest.fixture(scope="module")
def run():
    """A guard after 200 steps of known gradients, and what each step should be told as."""
    generator = np.random.default_rng(10)
    weight, bias = torch.nn.Parameter(torch.zeros(30)), torch.nn.Parameter(torch.zeros(5))
    optimizer = torch.optim.SGD([weight, bias], lr=0.0)
    guard = gradcore.Guard(
        [("weight", weight), ("bias", bias)], max_norm=MAX_NORM, nonfinite="adaptive"
    )
    expected = []
    for step in range(STEPS):
        size = 10.0 ** generator.uniform(-2, 1)
        values = generator.normal(0.0, size, 35).astype(np.float32)
        if step % 20 == 7:
            values[step % 35] = [math.nan, math.inf, -math.inf][step % 3]
        weight.grad = torch.from_numpy(values[:30].copy())
        bias.grad = torch.from_numpy(values[30:].copy())
        guard.step(optimizer, loss=1.0)
        wide = values[np.isfinite(values)].astype(np.float64)
        expected.append((float(np.linalg.norm(wide)), int((~np.isfinite(values)).sum())))
    return guard, expected


def test_f10_norms_before_and_after_are_told_of_every_step(run):
    guard, expected = run

    arrays = guard.history.to_arrays()
    before = [norm for norm, _ in expected]
    after = [
        norm if bad else min(norm, MAX_NORM) for norm, bad in expected
    ]  # 1 of 35 is more than the policy zeroes: the step is skipped, and nothing is clipped
    np.testing.assert_allclose(arrays["norm"], before, rtol=1e-12)
    np.testing.assert_allclose(arrays["clipped_norm"], after, rtol=1e-12)
    np.testing.assert_allclose(arrays["scale"], np.array(after) / before, rtol=1e-12)


def test_f10_shares_and_percentiles_are_those_of_the_run(run):
    guard, expected = run
    finite = [norm for norm, bad in expected if not bad]

    summary = guard.history.summary()
    assert summary["steps"] == STEPS
    assert summary["clip_rate"] == sum(norm > MAX_NORM for norm in finite) / STEPS
    assert summary["skip_rate"] == summary["nonfinite_rate"] == (STEPS - len(finite)) / STEPS > 0
    for percent in (50, 90, 99):
        wanted = np.percentile(finite, percent)
        assert summary[f"p{percent}_norm"] == pytest.approx(wanted, rel=1e-12)


def test_f10_repairs_are_counted_where_the_policy_repairs():
    weight = torch.nn.Parameter(torch.zeros(40))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    guard = gradcore.Guard([("weight", weight)], nonfinite="zero")

    for bad in (0, 3, 0, 11):
        weight.grad = torch.ones(40)
        weight.grad[:bad] = math.nan
        report = guard.step(optimizer)
        assert report.repaired == report.nonfinite.total == bad
        assert report.norm == pytest.approx(math.sqrt(40 - bad), rel=1e-12)
        assert not report.skipped
    assert guard.history.summary()["repaired_elements"] == 14
