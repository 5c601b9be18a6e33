"""`Guard` protects whatever it is given, by the name of each parameter, and says what it did."""

from __future__ import annotations

import logging
import math

import pytest
import torch
from torch import nn

import gradcore
import training


def sgd(*parameters, lr=1.0):
    return torch.optim.SGD(parameters, lr=lr)


def scalar(gradient=None):
    owner = nn.Parameter(torch.zeros(()))
    owner.grad = None if gradient is None else torch.tensor(gradient)
    return owner


def names(guard):
    return [row.name for row in guard.apply().parameters]


def test_names_come_from_the_module():
    net = training.model()
    training.backward(net)

    assert names(gradcore.Guard(net)) == ["0.weight", "0.bias", "2.weight"]


def test_names_come_from_pairs():
    pairs = [("first", scalar(1.0)), ("second", scalar(2.0))]

    assert names(gradcore.Guard(pairs)) == ["first", "second"]
    assert names(gradcore.Guard(iter(pairs))) == ["first", "second"]


def test_names_come_from_an_optimizer_that_was_built_from_names():
    net = training.model()
    optimizer = torch.optim.SGD(net.named_parameters(), lr=0.1)
    training.backward(net)

    assert names(gradcore.Guard(optimizer)) == ["0.weight", "0.bias", "2.weight"]


def test_parameters_without_names_are_numbered():
    plain = [scalar(1.0), scalar(2.0)]

    assert names(gradcore.Guard(plain)) == ["param.0", "param.1"]
    assert names(gradcore.Guard(sgd(*plain))) == ["param.0", "param.1"]
    assert names(gradcore.Guard(plain[0])) == ["param.0"]


@pytest.mark.parametrize("target", [[], nn.Tanh(), iter(())], ids=["list", "module", "iterator"])
def test_nothing_to_guard_is_an_error(target):
    with pytest.raises(ValueError, match=r"no parameters|nothing"):
        gradcore.Guard(target)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_norm", -1.0),
        ("max_norm", math.nan),
        ("every", 0),
        ("history", 0),
        ("max_consecutive", 0),
        ("needs", "nonsense"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(option, value):
    with pytest.raises(ValueError, match=option):
        gradcore.Guard([scalar()], **{option: value})


@pytest.mark.parametrize(("option", "value"), [("needs", 3), ("check_parameters", "false")])
def test_options_of_another_type_are_refused_by_name(option, value):
    with pytest.raises(TypeError, match=f"{option} must be .*; got {value!r}"):
        gradcore.Guard([scalar()], **{option: value})


def test_clipping_meets_the_bound_to_rounding():
    """Not slightly below it, as torch does with its 1e-6."""
    owner = scalar(2.0)
    report = gradcore.Guard([owner], max_norm=1e-7).apply()

    assert owner.grad.item() == pytest.approx(1e-7, rel=1e-7)
    assert report.clipped_norm == pytest.approx(1e-7, rel=1e-12)


def test_max_norm_of_infinity_measures_and_changes_nothing():
    owner = scalar(3e38)

    report = gradcore.Guard([owner], max_norm=math.inf).apply()
    assert (report.clipped, report.scale) == (False, 1.0)
    assert owner.grad.item() == pytest.approx(3e38, rel=1e-7)


def test_finite_gradients_whose_norm_no_float64_can_hold_are_not_destroyed():
    owner = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    owner.grad = torch.tensor([1.7e308, -1.7e308], dtype=torch.float64)

    gradcore.Guard([owner], max_norm=1.0).step(sgd(owner))
    one, other = owner.tolist()
    assert math.isfinite(one)
    assert one == -other != 0.0


def test_groups_frozen_and_missing_gradients_are_all_fine():
    net = training.model()
    net[2].weight.requires_grad_(requires_grad=False)
    groups = [{"params": [net[0].weight], "lr": 0.5}, {"params": [net[0].bias, net[2].weight]}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    training.backward(net)
    net[0].bias.grad = None

    report = gradcore.safe_step(optimizer, max_norm=1.0)
    assert [row.numel for row in report.parameters] == [12, None, None]
    assert [row.norm for row in report.parameters][1:] == [None, None]


def test_tied_parameters_are_scaled_once():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    training.set_gradients([net[0].weight], [3.0, 0.0, 0.0, 4.0])

    report = gradcore.Guard([net[0].weight, net[1].weight], max_norm=1.0).apply()
    assert report.norm == 5.0
    assert [row.name for row in report.parameters] == ["param.0"]
    assert net[0].weight.grad.norm().item() == pytest.approx(1.0)


def test_parameters_that_share_one_gradient_tensor_are_measured_and_scaled_once():
    first, second = scalar(4.0), scalar()
    second.grad = first.grad

    report = gradcore.Guard([first, second], max_norm=1.0).apply()
    assert report.norm == 4.0
    assert first.grad.item() == 1.0


def test_a_loss_that_is_not_finite_is_a_nonfinite_step():
    owner = scalar(1.0)
    guard = gradcore.Guard([owner])

    report = guard.step(sgd(owner), loss=torch.tensor(math.nan))
    assert report.skipped
    assert math.isnan(report.loss)
    assert not report.healthy
    assert owner.item() == 0.0
    assert guard.step(sgd(owner), loss=0.5).loss == 0.5
    assert owner.item() == -1.0


@pytest.mark.parametrize("policy", [("zero", {"overflow": 10.0}), ("skip", {"overflow": 10.0})])
def test_magnitudes_beyond_overflow_are_events(policy):
    owners = [scalar(-50.0), scalar(2.0)]

    report = gradcore.Guard(owners, nonfinite=policy).step(sgd(*owners))
    assert report.nonfinite.neginf == 1
    assert report.skipped == (policy[0] == "skip")
    assert [owner.item() for owner in owners] == ([0.0, 0.0] if report.skipped else [0.0, -2.0])


def test_zeroing_takes_the_step_with_what_is_left():
    owners = [scalar(math.nan), scalar(8.0)]

    report = gradcore.Guard(owners, nonfinite="zero", max_norm=2.0).step(sgd(*owners))
    assert [owner.item() for owner in owners] == [0.0, -2.0]
    assert (report.norm, report.repaired, report.skipped) == (8.0, 1, False)


def test_replacing_counts_the_values_in_the_norm():
    owners = [scalar(math.nan), scalar(math.inf), scalar(-math.inf), scalar(1.0), scalar(2.0)]
    values = {"nan": 0.0, "posinf": 10.0, "neginf": -10.0}

    report = gradcore.Guard(owners, nonfinite=("replace", values), max_norm=1.0).apply()
    assert report.norm == pytest.approx(math.sqrt(205), rel=1e-12)
    assert [owner.grad.item() for owner in owners] == pytest.approx(
        [0.0, *(x / math.sqrt(205) for x in (10, -10, 1, 2))], rel=1e-6
    )


@pytest.mark.parametrize("policy", ["propagate", "detect"])
def test_faults_go_through_where_that_is_asked_for(policy):
    owners = [scalar(math.nan), scalar(8.0)]

    report = gradcore.Guard(owners, nonfinite=policy).step(sgd(*owners))
    assert math.isnan(owners[0].item())
    assert owners[1].item() == -8.0
    assert (report.nonfinite.nan, report.repaired, report.skipped) == (1, 0, False)


def test_raising_names_the_parameter_and_changes_nothing():
    net = training.model()
    training.backward(net)
    training.plant(net[0].bias, math.nan, math.inf)
    optimizer = sgd(*net.parameters())
    frozen = training.state(net, optimizer)

    guard = gradcore.Guard(net, nonfinite="raise")
    with pytest.raises(gradcore.NonfiniteGradientError, match=r"2 of 3 .*'0\.bias'"):
        guard.step(optimizer)
    assert training.state(net, optimizer) == frozen


def test_a_type_that_cannot_be_measured_is_named():
    owner = nn.Parameter(torch.ones(2, dtype=torch.int64), requires_grad=False)
    owner.grad = torch.ones(2, dtype=torch.int64)

    with pytest.raises(TypeError, match="'weird'"):
        gradcore.Guard([("good", scalar(1.0)), ("weird", owner)]).apply()


def test_an_unknown_strategy_is_an_error_that_lists_the_known(caplog):
    with pytest.raises(gradcore.UnknownPluginError, match="global_norm"):
        gradcore.Guard([scalar()], clip="globalnorm")
    with pytest.raises(gradcore.UnknownPluginError, match="zero"):
        gradcore.Guard([scalar()], nonfinite="zeroo")
    assert caplog.records == []


def test_the_first_of_a_streak_is_a_warning_with_the_name(caplog):
    owner = scalar()
    guard = gradcore.Guard([("weight", owner)])
    optimizer = sgd(owner)

    with caplog.at_level(logging.WARNING, logger="gradcore"):
        for value in (1.0, math.nan, math.inf, 1.0, math.nan):
            owner.grad = torch.tensor(value)
            guard.step(optimizer)
    named = [record for record in caplog.records if "'weight'" in record.getMessage()]
    assert [record.levelname for record in named] == ["WARNING", "WARNING"]
    assert {record.name.split(".")[0] for record in caplog.records} == {"gradcore"}
