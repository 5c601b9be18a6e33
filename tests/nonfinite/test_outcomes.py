"""Every policy, with every fault, in every way to step: the outcome is the one that is written."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import gradcore

NAN, INF = math.nan, math.inf

VALUES = [1.0, 2.0, 3.0, 4.0]
"""Of the parameter that has a fault; the other is 1, with a gradient of 1."""

FAULTS = {
    "NaN gradient": [8.0, NAN, 4.0, 2.0],
    "Inf gradient": [8.0, INF, 4.0, 2.0],
    "overflow": [8.0, -50.0, 4.0, 2.0],  # of the threshold of 10
    "NaN loss": [8.0, 6.0, 4.0, 2.0],
    "NaN parameter": [8.0, 6.0, 4.0, 2.0],  # in the place of the 2
}

WHOLE = [8.0, 6.0, 4.0, 2.0]
ZEROED = [8.0, 0.0, 4.0, 2.0]


@dataclass(frozen=True)
class Taken:
    """The step is taken with these gradients, and so many elements were repaired."""

    gradient: list[float]
    repaired: int = 0
    healed: float = NAN
    """What a NaN in the parameter became before the step."""


SKIP, RESTORE, RAISE = "skip", "restore", "raise"

TABLE = {
    "propagate": {
        "NaN gradient": Taken([8.0, NAN, 4.0, 2.0]),
        "Inf gradient": Taken([8.0, INF, 4.0, 2.0]),
        "overflow": None,  # it has no such option
        "NaN loss": Taken(WHOLE),
        "NaN parameter": Taken(WHOLE),
    },
    "detect": {
        "NaN gradient": Taken([8.0, NAN, 4.0, 2.0]),
        "Inf gradient": Taken([8.0, INF, 4.0, 2.0]),
        "overflow": Taken([8.0, -50.0, 4.0, 2.0]),
        "NaN loss": Taken(WHOLE),
        "NaN parameter": Taken(WHOLE),
    },
    "raise": dict.fromkeys(FAULTS, RAISE),
    "zero": {
        "NaN gradient": Taken(ZEROED, 1),
        "Inf gradient": Taken(ZEROED, 1),
        "overflow": Taken(ZEROED, 1),
        "NaN loss": Taken(WHOLE),
        "NaN parameter": Taken(WHOLE, 1, healed=0.0),
    },
    "replace": {
        "NaN gradient": Taken([8.0, 0.5, 4.0, 2.0], 1),
        "Inf gradient": Taken([8.0, 7.0, 4.0, 2.0], 1),
        "overflow": Taken([8.0, -7.0, 4.0, 2.0], 1),
        "NaN loss": Taken(WHOLE),
        "NaN parameter": Taken(WHOLE, 1, healed=0.5),
    },
    "zero_parameter": {
        "NaN gradient": Taken([0.0] * 4, 1),
        "Inf gradient": Taken([0.0] * 4, 1),
        "overflow": Taken([0.0] * 4, 1),
        "NaN loss": Taken(WHOLE),
        "NaN parameter": Taken(WHOLE, 1, healed=0.0),
    },
    "scale": {
        "NaN gradient": Taken([6.0, 0.0, 3.0, 1.5], 1),
        "Inf gradient": Taken([6.0, 0.0, 3.0, 1.5], 1),
        "overflow": Taken([6.0, 0.0, 3.0, 1.5], 1),
        "NaN loss": Taken(WHOLE),
        "NaN parameter": Taken(WHOLE, 1, healed=0.0),
    },
    "skip": dict.fromkeys(FAULTS, SKIP),
    "restore": dict.fromkeys(FAULTS, RESTORE),
    "adaptive": dict.fromkeys(FAULTS, SKIP),  # one of five is more than a few
    "lenient": {
        "NaN gradient": Taken(ZEROED, 1),
        "Inf gradient": Taken(ZEROED, 1),
        "overflow": Taken(ZEROED, 1),
        "NaN loss": SKIP,
        "NaN parameter": Taken(WHOLE, 1, healed=0.0),
    },
}
POLICIES = {
    **{name: (name, {}) for name in TABLE},
    "replace": ("replace", {"nan": 0.5, "posinf": 7.0, "neginf": -7.0}),
    "lenient": ("adaptive", {"max_share": 0.2}),
}
CASES = [
    pytest.param(policy, fault, outcome, id=f"{policy}, {fault}")
    for policy, row in TABLE.items()
    for fault, outcome in row.items()
    if outcome is not None
]


class Run:
    """Two parameters, an optimizer without memory, and a guard that saw one good step."""

    def __init__(self, policy, fault, way):
        name, options = POLICIES[policy]
        if fault == "overflow":
            options = {**options, "overflow": 10.0}
        self.way = way
        self.loss = NAN if fault == "NaN loss" else 0.5
        self.owners = [nn.Parameter(torch.tensor(VALUES)), nn.Parameter(torch.ones(1))]
        self.optimizer = torch.optim.SGD(self.owners, lr=1.0)
        pairs = list(zip(("faulty", "other"), self.owners, strict=True))
        self.guard = gradcore.Guard(pairs, nonfinite=(name, options), check_parameters=True)
        if way == "attach":
            self.guard.attach(self.optimizer)
        self.set([0.0] * 4, 0.0)
        self.step(0.5)
        if fault == "NaN parameter":
            self.owners[0].data[1] = NAN
        self.set(FAULTS[fault], 1.0)

    def set(self, faulty, other):
        self.owners[0].grad, self.owners[1].grad = torch.tensor(faulty), torch.tensor([other])

    def step(self, loss):
        if self.way == "step":
            self.guard.step(self.optimizer, loss=loss)
        elif self.way == "attach":
            self.optimizer.step(lambda: loss)
        else:
            self.guard.apply(loss=loss, optimizer=self.optimizer)
            self.optimizer.step()

    @property
    def values(self):
        return [owner.tolist() for owner in self.owners]


def same(values, wanted):
    """NaN is NaN."""
    return repr(values) == repr(wanted)


@pytest.mark.parametrize("way", ["step", "attach", "apply"])
@pytest.mark.parametrize(("policy", "fault", "outcome"), CASES)
def test_the_outcome_is_the_one_that_is_written(policy, fault, outcome, way, caplog):
    run = Run(policy, fault, way)
    before = run.values
    if outcome == RAISE:
        with pytest.raises(gradcore.NonfiniteGradientError):
            run.step(run.loss)
        assert same(run.values, before)
        return
    run.step(run.loss)

    report = run.guard.history[-1]
    assert (report.skipped, report.restored) == (outcome in (SKIP, RESTORE), outcome == RESTORE)
    assert report.nonfinite.total == (fault in {"NaN gradient", "Inf gradient", "overflow"})
    assert report.nonfinite_parameters.total == (fault == "NaN parameter")
    assert not report.healthy
    assert len(caplog.records) == 1
    if outcome == SKIP:
        assert same(run.values, before)
        assert "The step is skipped." in caplog.text
    elif outcome == RESTORE:
        assert run.values == [VALUES, [1.0]]
        assert "rolled back" in caplog.text
    else:
        start = [outcome.healed if math.isnan(value) else value for value in before[0]]
        after = [value - g for value, g in zip(start, outcome.gradient, strict=True)]
        assert same(run.values, [after, [0.0]])
        assert report.repaired == outcome.repaired
        assert ("1 element is repaired." in caplog.text) == (outcome.repaired == 1)


@pytest.mark.parametrize("way", ["step", "attach", "apply"])
@pytest.mark.parametrize("fault", ["NaN gradient", "NaN loss", "NaN parameter"])
@pytest.mark.parametrize("policy", [name for name in TABLE if name != "raise"])
def test_every_policy_is_bounded(policy, fault, way):
    run = Run(policy, fault, way)
    run.guard.streak.limit = 3

    def fail():
        run.set(FAULTS[fault], 1.0)
        if fault == "NaN parameter":
            run.owners[0].data[1] = NAN

    for _ in range(2):
        fail()
        run.step(run.loss)
    fail()
    before = run.values
    with pytest.raises(gradcore.NonfiniteGradientError, match="max_consecutive=3"):
        run.step(run.loss)
    assert same(run.values, before)
