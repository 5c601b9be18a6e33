"""Parameters that are not finite themselves are events, where a guard is told to look at them."""

from __future__ import annotations

import logging
import math

import pytest
import torch
from torch import nn

import gradcore
import training
from gradcore import core

NAN, INF = math.nan, math.inf


def made(policy, *, values=((1.0, NAN, -INF), (2.0,)), gradients=((0.5, 0.5, 0.5), (0.5,)), **more):
    """Parameters with these values and gradients, and a guard that looks at both."""
    owners = [nn.Parameter(torch.tensor(row)) for row in values]
    training.set_gradients(owners, *map(list, gradients))
    pairs = [("first", owners[0]), ("second", owners[1])]
    return owners, gradcore.Guard(pairs, nonfinite=policy, check_parameters=True, **more)


def step(owners, guard):
    return guard.step(torch.optim.SGD(owners, lr=1.0))


@pytest.mark.parametrize("policy", ["zero", "zero_parameter", "scale"])
def test_elements_are_zeroed_and_what_was_learnt_stays(policy):
    owners, guard = made(policy)

    report = step(owners, guard)
    assert owners[0].tolist() == [0.5, -0.5, -0.5]
    assert owners[1].tolist() == [1.5]
    counts = report.nonfinite_parameters
    assert (counts.nan, counts.posinf, counts.neginf) == (1, 0, 1)
    assert (report.repaired, report.nonfinite.total, report.healthy) == (2, 0, False)


def test_elements_are_replaced_by_the_values_of_the_policy():
    owners, guard = made(("replace", {"nan": 3.0, "posinf": 10.0, "neginf": -7.0}))

    assert step(owners, guard).repaired == 2
    assert owners[0].tolist() == [0.5, 2.5, -7.5]


def test_repairs_of_gradients_and_parameters_are_counted_together():
    owners, guard = made("zero", gradients=((INF, 0.5, 0.5), (NAN,)))

    assert step(owners, guard).repaired == 4
    assert owners[0].tolist() == [1.0, -0.5, -0.5]


def test_complex_parameters_are_repaired_whole():
    owner = nn.Parameter(torch.tensor([complex(NAN, 1.0), 2.0 + 1.0j]))
    owner.grad = torch.zeros(2, dtype=torch.complex64)

    report = gradcore.Guard([owner], nonfinite="zero", check_parameters=True).apply()
    assert owner.tolist() == [0.0, 2.0 + 1.0j]
    assert report.repaired == 1


def test_a_skip_changes_no_bit():
    owners, guard = made("skip")
    frozen = training.freeze(owners)

    report = step(owners, guard)
    assert (report.skipped, report.repaired) == (True, 0)
    assert training.freeze(owners) == frozen


@pytest.mark.parametrize("policy", ["propagate", "detect"])
def test_they_are_left_where_that_is_asked_for(policy):
    owners, guard = made(policy)

    report = step(owners, guard)
    assert (report.nonfinite_parameters.total, report.repaired) == (2, 0)
    assert math.isnan(owners[0][1].item())
    assert owners[1].tolist() == [1.5]


def test_raising_names_the_parameter():
    owners, guard = made("raise")
    frozen = training.freeze(owners)

    with pytest.raises(
        gradcore.NonfiniteGradientError, match="2 elements .* parameters themselves: 'first'"
    ):
        step(owners, guard)
    assert training.freeze(owners) == frozen


def test_going_back_heals_them():
    owners, guard = made("restore", values=((1.0, 2.0, 3.0), (2.0,)))
    step(owners, guard)
    owners[0].data[1] = NAN

    assert step(owners, guard).restored
    assert [owner.tolist() for owner in owners] == [[1.0, 2.0, 3.0], [2.0]]


def test_the_first_of_a_streak_says_which_and_what_is_done(caplog):
    owners, guard = made("zero", values=((NAN,) * 3, (INF,)))
    step(owners, guard)

    what = (
        "4 elements are NaN or infinite in the parameters themselves: 'first', 'second' (step 0)."
    )
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{what} 4 elements are repaired."]
    assert caplog.records[0].levelno == logging.WARNING


def test_a_streak_of_them_ends_in_an_error():
    owners, guard = made("skip", max_consecutive=2)
    step(owners, guard)

    with pytest.raises(gradcore.NonfiniteGradientError, match="'first'.*max_consecutive=2"):
        step(owners, guard)


def test_memory_does_not_learn_from_such_a_step():
    class Seeing:
        name = "seeing"
        trusted = True

        def __call__(self, statistics):
            self.trusted = bool(statistics.trusted)
            self.counts = statistics.parameter_nonfinite.tolist()
            self.share = statistics.nonfinite_share.item()
            return gradcore.Keep()

    strategy = Seeing()
    owners, guard = made("zero", clip=strategy, gradients=((NAN, 0.5, 0.5), (0.5,)))
    step(owners, guard)
    assert (strategy.trusted, strategy.counts, strategy.share) == (False, [2.0, 0.0], 0.5)


def test_an_overflow_of_gradients_is_none_of_parameters():
    """Weights have another unit than their gradients."""
    owners, guard = made(("skip", {"overflow": 1.0}), values=((50.0, 60.0, 70.0), (80.0,)))

    assert not step(owners, guard).skipped


def test_parameters_that_nobody_asked_about_are_not_read(monkeypatch):
    """Not even if a strategy asks for their norm are they events."""
    owners, _ = made("skip")
    read = []
    measure_table = core.measure_table

    def counting(tensors, needs, *options, gradients=True):
        read.append(gradients)
        return measure_table(tensors, needs, *options, gradients=gradients)

    monkeypatch.setattr(core, "measure_table", counting)
    assert not gradcore.Guard(owners).apply().skipped
    assert read == [True]
    report = gradcore.Guard(owners, needs="parameter_l2", nonfinite="zero").apply()
    assert (report.skipped, report.repaired, report.nonfinite_parameters.total) == (False, 0, 2)
    assert math.isnan(owners[0][1].item())


def test_a_statistic_that_was_not_looked_at_says_how_to():
    owners, _ = made("skip")

    with pytest.raises(AttributeError, match="check_parameters=True"):
        gradcore.measure(owners, "parameter_l2").parameter_nonfinite  # noqa: B018 - it raises


def test_a_parameter_that_cannot_be_measured_is_named():
    whole = nn.Parameter(torch.ones(2, dtype=torch.int64), requires_grad=False)
    good = nn.Parameter(torch.ones(1))
    good.grad = torch.ones(1)
    pairs = [("good", good), ("counts", whole)]

    with pytest.raises(TypeError, match="The parameter 'counts' cannot be measured"):
        gradcore.Guard(pairs, check_parameters=True).apply()
    assert not gradcore.Guard(pairs).apply().skipped
