"""What is built in is decided by tensor arithmetic alone, and equally usable without a registry."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from gradcore import Registry, Scale
from gradcore.builtin import CHECKS, POLICIES, STRATEGIES
from gradcore.statistics import ALWAYS, NEEDS, OPTIONAL, ROWS, Statistics

EVERYTHING = (*STRATEGIES, *POLICIES)


def fake_statistics():
    """Statistics of three parameters without numbers in them: who asks for a value is caught."""
    table = torch.empty(len(ROWS), 4, dtype=torch.float64)
    return Statistics(table, torch.empty((), dtype=torch.bool), ALWAYS | frozenset(NEEDS))


@pytest.mark.parametrize("offered", EVERYTHING, ids=lambda offered: offered.name)
def test_no_decision_waits_for_a_value(offered):
    with FakeTensorMode():
        offered()(fake_statistics())


def test_a_decision_that_waits_for_a_value_would_be_caught():
    def waiting(statistics):
        return Scale(statistics.norm / statistics.norm.item())

    with FakeTensorMode(), pytest.raises(DataDependentOutputException):
        waiting(fake_statistics())


@pytest.mark.parametrize(
    "offered",
    [each for each in (*EVERYTHING, *CHECKS) if is_dataclass(each)],
    ids=lambda offered: offered.name,
)
def test_options_cannot_be_changed_behind_the_checks(offered):
    made = offered()

    for option in fields(offered):
        with pytest.raises(FrozenInstanceError):
            setattr(made, option.name, 1.0)


@pytest.mark.parametrize(
    ("kind", "offered"), [("clip", STRATEGIES), ("nonfinite", POLICIES), ("check", CHECKS)]
)
def test_a_name_leads_to_the_same_as_the_class(kind, offered):
    registry = Registry(plugins=False)

    made = {name: registry.create(kind, name) for name in registry.names(kind)}
    assert {name: (type(one), repr(one)) for name, one in made.items()} == {
        each.name: (each, repr(each())) for each in offered
    }


def test_only_what_can_be_measured_is_asked_for():
    for offered in (*EVERYTHING, *CHECKS):
        assert set(getattr(offered(), "needs", ())) <= set(OPTIONAL)
