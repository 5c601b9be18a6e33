"""Stability and the names of what went bad, against the definitions in plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import gradcore

FAULTS = [math.nan, math.inf, -math.inf]
REPLACED = {"nan": 0.5, "posinf": 1e3, "neginf": -1e3}

finite = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0.0 or abs(x) > 1e-6)
elements = st.lists(finite | st.sampled_from(FAULTS), min_size=1, max_size=4)
gradients = st.lists(st.none() | elements, min_size=1, max_size=6)
sound = st.lists(st.none() | st.lists(finite, min_size=1, max_size=4), min_size=1, max_size=6)
policies = st.sampled_from(["skip", "zero", "zero_parameter", "propagate", ("replace", REPLACED)])
bounds = st.none() | st.floats(1e-3, 1e7)
losses = st.none() | st.sampled_from([0.5, *FAULTS])


def report_of(rows, *, loss=None, **options):
    """The report on parameters with these gradients; None for none."""
    owners = [nn.Parameter(torch.zeros(1 if row is None else len(row))) for row in rows]
    for owner, row in zip(owners, rows, strict=True):
        owner.grad = None if row is None else torch.tensor(row)
    return gradcore.Guard(owners, **options).apply(loss=loss)


def replaced(x):
    if math.isnan(x):
        return REPLACED["nan"]
    return REPLACED["posinf" if x > 0 else "neginf"] if math.isinf(x) else x


def norm_to_clip(rows, policy):
    """The norm that a bound is compared with: what the policy leaves, or the finite elements."""
    present = [row for row in rows if row is not None]
    if policy == "zero_parameter":
        present = [row for row in present if all(map(math.isfinite, row))]
    if isinstance(policy, tuple):
        present = [[replaced(x) for x in row] for row in present]
    return math.hypot(*(x for row in present for x in row if math.isfinite(x)))


def stability(rows, policy, bound, loss):
    """f^4 sqrt(min(1, bound / norm)), halved for a skip, 0 for a loss that is not finite."""
    if loss is not None and not math.isfinite(loss):
        return 0.0
    every = [x for row in rows if row is not None for x in row]
    bad = sum(not math.isfinite(x) for x in every)
    share = 1.0 - bad / len(every) if every else 1.0
    if bad and policy == "skip":
        return share**4 / 2
    norm = norm_to_clip(rows, policy)
    ratio = min(1.0, bound / norm) if bound is not None and norm > 0.0 else 1.0
    return share**4 * math.sqrt(ratio)


@given(rows=gradients | sound, policy=policies, bound=bounds, loss=losses)
def test_stability_is_what_its_definition_says(rows, policy, bound, loss):
    got = report_of(rows, loss=loss, nonfinite=policy, max_norm=bound)

    assert 0.0 <= got.stability <= 1.0
    assert got.stability == pytest.approx(stability(rows, policy, bound, loss), rel=1e-6)


@given(rows=sound, loss=st.none() | finite)
def test_a_step_on_which_nothing_happened_is_exactly_one(rows, loss):
    assert report_of(rows, loss=loss).stability == 1.0


def test_a_restore_is_a_quarter():
    """In place of the half of a skip: 1/4 of (3/4)^4."""
    owner = nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.SGD([owner], lr=0.1)
    guard = gradcore.Guard([owner], nonfinite="restore")
    reports = []
    for fault in (1.0, math.nan, math.nan):
        owner.grad = torch.tensor([1.0, 2.0, fault, 3.0])
        reports.append(guard.step(optimizer))

    restored = [report for report in reports if report.restored]
    assert restored
    assert all(report.stability == pytest.approx(0.75**4 / 4) for report in restored)


@pytest.mark.parametrize("fault", FAULTS)
def test_where_the_norm_is_not_finite_the_factor_takes_the_place_of_the_ratio(fault):
    """The finite elements have norm 5 and are scaled to 1.25; a third is lost."""
    got = report_of([[fault, 3.0, 4.0]], nonfinite="propagate", max_norm=1.25)

    assert not math.isfinite(got.norm)
    assert got.stability == pytest.approx((2 / 3) ** 4 * math.sqrt(0.25))


def test_a_norm_beyond_every_number_is_next_to_no_stability():
    """Each element is finite; their norm is 3e308 and has no float64."""
    owner = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    owner.grad = torch.full((4,), 1.5e308, dtype=torch.float64)

    got = gradcore.Guard([owner], max_norm=1.0).apply()
    assert (got.norm, got.nonfinite.total) == (math.inf, 0)
    assert 0.0 <= got.stability < 1e-100


def test_scaling_a_gradient_of_zero_disturbs_nothing():
    class Halves:
        name = "halves"

        def __call__(self, statistics):
            return gradcore.Scale(torch.full_like(statistics.norm, 0.5))

    assert report_of([[0.0, 0.0]], clip=Halves()).stability == 1.0
    assert report_of([[3.0, 4.0]], clip=Halves()).stability == pytest.approx(math.sqrt(0.5))


@given(rows=gradients)
def test_the_first_to_go_bad_and_the_last_clean_follow_the_backward_pass(rows):
    """Gradients are computed from the last parameter to the first; some have none."""
    last_clean = first = None
    for i in reversed(range(len(rows))):
        if rows[i] is None:
            continue
        if not all(map(math.isfinite, rows[i])):
            first = f"param.{i}"
            break
        last_clean = f"param.{i}"

    got = report_of(rows)
    assert got.first_nonfinite == first
    assert got.last_clean == (last_clean if first else None)


@pytest.mark.parametrize(
    "options",
    [{"clip": ("per_parameter_norm", {"max_norm": 1e9})}, {"nonfinite": "scale"}],
    ids=["a factor each", "factors of a policy"],
)
def test_factors_of_one_clip_nothing_however_the_norm_rounds(options):
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        rows = torch.randn(3, 7, generator=generator).tolist()
        got = report_of(rows, **options)

        assert (got.clipped, got.scale, got.stability) == (False, 1.0, 1.0)
        assert got.clipped_norm == got.norm
