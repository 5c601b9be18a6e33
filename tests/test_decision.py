"""What policy and strategy ask for is put together, and refused where it cannot be."""

from __future__ import annotations

import math

import pytest
import torch

import gradcore
import gradients
from gradients import parameter, parameters


class Fixed:
    """A policy or a strategy that asks for the same every time."""

    name = "fixed"

    def __init__(self, *verbs):
        self.verbs = verbs if len(verbs) != 1 else verbs[0]

    def __call__(self, statistics):
        return self.verbs


def scale(*factors: float) -> gradcore.Scale:
    """One factor for all, or one for each."""
    values = factors[0] if len(factors) == 1 else list(factors)
    return gradcore.Scale(torch.tensor(values, dtype=torch.float64))


def refuse(owners, match: str, **options) -> None:
    """The guard raises, and nothing has changed."""
    guard = gradcore.Guard(owners, **options)
    before = [gradients.bits(owner.grad) for owner in owners]
    with pytest.raises(gradcore.PluginError, match=match):
        guard.apply()
    assert [gradients.bits(owner.grad) for owner in owners] == before
    assert (guard.steps, len(guard.history)) == (0, 0)


REPAIRS = [
    gradcore.ZeroElements(),
    gradcore.Replace(nan=1.0),
    gradcore.ZeroParameters(),
]


@pytest.mark.parametrize("verb", REPAIRS, ids=lambda verb: type(verb).__name__)
@pytest.mark.parametrize("beside", [(), (scale(0.5),)], ids=["alone", "beside a factor"])
def test_a_strategy_has_no_say_in_repairs(verb, beside):
    owner = parameter(torch.tensor([math.nan, 1.0]))

    refuse([owner], "'fixed' returned", clip=Fixed(verb, *beside), nonfinite="propagate")


def test_factors_of_policy_and_strategy_multiply():
    owners = parameters([torch.tensor([math.nan, 8.0]), torch.tensor([6.0])])
    policy = Fixed(gradcore.ZeroElements(), scale(0.5))

    report = gradcore.Guard(owners, nonfinite=policy, clip=Fixed(scale(0.25))).apply()
    assert [owner.grad.tolist() for owner in owners] == [[0.0, 1.0], [0.75]]
    assert (report.norm, report.clipped_norm, report.scale) == (10.0, 1.25, 0.125)
    assert report.repaired == 1


def test_one_factor_for_all_multiplies_with_one_for_each():
    owners = parameters([torch.tensor([8.0]), torch.tensor([6.0])])
    policy = Fixed(gradcore.Propagate(), scale(1.0, 0.5))

    report = gradcore.Guard(owners, nonfinite=policy, clip=Fixed(scale(0.5))).apply()
    assert [owner.grad.item() for owner in owners] == [4.0, 1.5]
    assert [row.scale for row in report.parameters] == [0.5, 0.25]


def test_the_factor_of_a_policy_counts_where_the_strategy_keeps():
    owner = parameter(torch.tensor([8.0]))

    gradcore.Guard([owner], nonfinite=Fixed(scale(0.5)), clip=Fixed(gradcore.Keep())).apply()
    assert owner.grad.item() == 4.0


def test_a_limit_of_a_strategy_comes_after_the_factor_of_a_policy():
    owners = parameters([torch.tensor([8.0]), torch.tensor([6.0])])
    policy = Fixed(scale(0.5, 1.0))

    report = gradcore.Guard(owners, nonfinite=policy, clip=Fixed(gradcore.Clamp(4.5))).apply()
    assert [owner.grad.item() for owner in owners] == [4.0, 4.5]
    assert report.clipped_norm == pytest.approx(math.hypot(4.0, 4.5), rel=1e-12)
    assert [row.scale for row in report.parameters] == [0.5, 1.0]


@pytest.mark.parametrize("of_strategy", [scale(0.5), gradcore.Clamp(2.0)], ids=["factor", "limit"])
def test_nothing_comes_after_the_limit_of_a_policy(of_strategy):
    owner = parameter(torch.tensor([8.0]))

    policy = Fixed(gradcore.Clamp(1.0))
    refuse([owner], "policy .*strategy", nonfinite=policy, clip=Fixed(of_strategy))


NEVER = gradcore.Restore(torch.tensor([False])[0])


@pytest.mark.parametrize("of_policy", [False, True])
@pytest.mark.parametrize("of_strategy", [False, True])
def test_a_step_is_skipped_if_either_says_so(of_policy, of_strategy):
    owner = parameter(torch.tensor([3.0, 4.0]))
    before = gradients.bits(owner)
    optimizer = torch.optim.SGD([owner], lr=1.0)
    policy, strategy = (
        Fixed(gradcore.Skip(torch.tensor(each))) for each in (of_policy, of_strategy)
    )

    report = gradcore.Guard([owner], clip=strategy, nonfinite=policy).step(optimizer)

    assert report.skipped == (of_policy or of_strategy)
    assert (gradients.bits(owner) == before) == report.skipped


def test_a_strategy_has_no_say_in_going_back():
    owner = parameter(torch.tensor([1.0]))

    refuse([owner], "'fixed' returned Restore", clip=Fixed(NEVER))


def test_a_policy_that_may_go_back_says_how_often_snapshots_are_taken():
    owner = parameter(torch.tensor([1.0]))

    refuse([owner], "'fixed' returned Restore.*snapshot_every", nonfinite=Fixed(NEVER))


FACTORS = {
    "NaN": math.nan,
    "above one": 2.0,
    "just above one": 1.0 + 2.0**-52,
    "negative": -1.0,
    "infinite": math.inf,
}


@pytest.mark.parametrize("factor", FACTORS.values(), ids=FACTORS)
@pytest.mark.parametrize("place", ["clip", "nonfinite"])
def test_factors_lie_between_zero_and_one(factor, place):
    owners = parameters([torch.tensor([8.0]), torch.tensor([6.0])])

    refuse(owners, "'fixed'.*0 to 1", **{place: Fixed(scale(factor))})
    refuse(owners, "'fixed'.*0 to 1", **{place: Fixed(scale(0.5, factor))})


@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_zero_and_one_are_factors(factor):
    owner = parameter(torch.tensor([8.0]))

    assert gradcore.Guard([owner], clip=Fixed(scale(factor))).apply().scale == factor
    assert owner.grad.item() == 8.0 * factor


SHAPES = {
    "a float": 0.5,
    "too few": torch.full((1,), 0.5, dtype=torch.float64),
    "too many": torch.full((3,), 0.5, dtype=torch.float64),
    "two dimensions": torch.full((1, 2), 0.5, dtype=torch.float64),
}


@pytest.mark.parametrize("factors", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("place", ["clip", "nonfinite"])
def test_factors_are_one_tensor_for_all_or_one_number_for_each(factors, place):
    owners = parameters([torch.tensor([8.0]), torch.tensor([6.0])])

    refuse(owners, "'fixed' returned Scale", **{place: Fixed(gradcore.Scale(factors))})


@pytest.mark.parametrize("limit", [-1.0, math.nan])
def test_a_limit_is_at_least_zero(limit):
    with pytest.raises(ValueError, match="limit must be at least 0; got"):
        gradcore.Clamp(limit)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["nan", "posinf", "neginf"])
def test_what_takes_the_place_of_faults_is_finite(name, value):
    with pytest.raises(ValueError, match=f"{name} must be finite; got"):
        gradcore.Replace(**{name: value})


class Asking:
    """A strategy that remembers whether it was told to trust what it saw."""

    name = "asking"

    def __init__(self):
        self.trusted = []

    def __call__(self, statistics):
        self.trusted.append(bool(statistics.trusted))
        return gradcore.Keep()


def test_a_strategy_does_not_trust_a_finite_step_that_the_policy_skips():
    class Above:
        name = "above"

        def __call__(self, statistics):
            return gradcore.Skip(statistics.norm > 5.0)

    owner, strategy = parameter(torch.tensor([1.0])), Asking()
    guard = gradcore.Guard([owner], nonfinite=Above(), clip=strategy)
    for size in (1.0, 9.0, 2.0):
        owner.grad = torch.tensor([size])
        guard.apply()
    assert strategy.trusted == [True, False, True]
    assert [report.skipped for report in guard.history] == [False, True, False]


def test_a_bound_is_met_exactly_by_norms_on_it():
    """``max_norm * (1 / norm)`` is below 1 for many of them, though ``max_norm / norm`` is 1."""
    changed = []
    for size in range(1, 2000):
        owner = parameter(torch.tensor([float(size)], dtype=torch.float64))
        report = gradcore.Guard([owner], max_norm=float(size)).apply()
        if owner.grad.item() != size or report.clipped or report.scale != 1.0:
            changed.append(size)
    assert changed == []
