"""Policies that break a rule are told which one; their correct twins pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcore import (
    Clamp,
    Keep,
    Propagate,
    Replace,
    Scale,
    Skip,
    Stop,
    ZeroElements,
    ZeroParameters,
)
from gradcore.testing import ConformanceError, check_policy


def policy(decide, **attributes):
    """A policy without memory that decides by a function of the statistics."""
    members = {"__doc__": "Repair gradients.", "name": "made", "__call__": staticmethod(decide)}
    return type("Made", (), {**members, **attributes})


def few(statistics):
    """Less than a tenth of the elements are non-finite."""
    return statistics.nonfinite.sum() < 0.1 * statistics.numel.sum()


def share(statistics):
    """What is left of each gradient."""
    return Scale(1.0 - statistics.nonfinite / statistics.numel.clamp(min=1.0))


WRONG = {
    "halves everything": (
        lambda s: (ZeroElements(), Scale(torch.tensor(0.5))),
        "Where everything is finite, gradients keep every bit.*became",
    ),
    "clips what is large": (
        lambda s: (ZeroElements(), Clamp(0.5)),
        "Where everything is finite, gradients keep every bit",
    ),
    "skips finite steps": (lambda s: Skip(s.norm > 1.0), "finite.*the step was skipped"),
    "skips huge finite steps": (
        lambda s: Skip(~s.trusted | (s.norm > 1e4)),
        "times 1e.12.*skipped",
    ),
    "skips tiny finite steps": (
        lambda s: Skip(~s.trusted | (s.norm < 1e-9)),
        "times 1e-12.*skipped",
    ),
    "stops at finite steps": (lambda s: (Stop(s.norm > 1.0), ZeroElements()), "the step is taken"),
    "lets all through": (
        lambda s: Propagate(),
        r"class says `passes_nonfinite = True`\. Given a NaN in a gradient: nan was left in the",
    ),
    "lets all through without a word": (lambda s: Keep(), "is let through"),
    "lets few through": (lambda s: Skip(~s.trusted & ~few(s)), "is let through"),
    "replaces without saying so": (
        lambda s: Replace(posinf=1.0),
        "answers with a plan.*Say beforehand what it will replace with",
    ),
    "branches on a value": (
        lambda s: Skip(~s.trusted) if s.nonfinite.sum() > 3 else ZeroElements(),
        "No value is looked at",
    ),
    "amplifies": (
        lambda s: (ZeroElements(), Scale(torch.where(s.trusted, 1.0, 2.0))),
        "answers with a plan.*factors from 2.0 to 2.0",
    ),
    "returns nothing": (lambda s: None, "answers with a plan.*None, which is no verb"),
    "draws lots": (
        lambda s: (ZeroElements(), Skip((torch.rand(()) > 0.5).to(s.norm.device) & ~s.trusted)),
        "Two that saw the same steps decide alike",
    ),
}


@pytest.mark.parametrize(("decide", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_policy_that(decide, words):
    with pytest.raises(
        ConformanceError, match=rf"(?s)Non-finite policy Made breaks a rule: .*{words}"
    ):
        check_policy(policy(decide))


RIGHT = {
    "skip": lambda s: Skip(~s.trusted),
    "stop": lambda s: Stop(~s.trusted),
    "zero": lambda s: ZeroElements(),
    "zero parameters": lambda s: ZeroParameters(),
    "zero few": lambda s: (ZeroElements(), Skip(~few(s))),
    "shrink to the share": lambda s: (ZeroElements(), share(s)),
    "halve after repair": lambda s: (ZeroElements(), Scale(torch.where(s.trusted, 1.0, 0.5))),
}


@pytest.mark.parametrize("decide", RIGHT.values(), ids=RIGHT.keys())
def test_the_correct_twin_passes(decide):
    check_policy(policy(decide))


def test_who_says_that_it_lets_all_through_may():
    check_policy(policy(lambda s: Propagate(), passes_nonfinite=True))


def test_who_lets_all_through_may_still_not_change_what_is_finite():
    changing = policy(lambda s: (Propagate(), Clamp(0.5)), passes_nonfinite=True)

    with pytest.raises(ConformanceError, match="Where everything is finite"):
        check_policy(changing)


def test_finite_elements_beside_others_keep_their_values():
    """Only where something is not finite is the bound below the elements."""
    limits = policy(
        lambda s: (ZeroElements(), Clamp(1e9)), overflow=1e6, __doc__="Clamp what is huge."
    )
    check_policy(limits)


def test_who_says_what_it_replaces_with_passes():
    check_policy(policy(lambda s: Replace(posinf=1.0), replacement=Replace(posinf=1.0)))


@pytest.mark.parametrize("overflow", [1e6, 1e-3])
def test_what_is_beyond_overflow_is_not_let_through(overflow):
    check_policy(policy(lambda s: ZeroElements(), overflow=overflow))
    with pytest.raises(ConformanceError, match="is let through"):
        check_policy(policy(lambda s: Keep(), overflow=overflow))


def test_an_overflow_that_cannot_be_is_said():
    with pytest.raises(ConformanceError, match="overflow must be greater than 0; got -1"):
        check_policy(policy(lambda s: ZeroElements(), overflow=-1.0))


class Patience(nn.Module):
    """Skip, but zero the elements once three steps in a row were not finite."""

    name = "patience"

    def __init__(self):
        super().__init__()
        self.register_buffer("length", torch.tensor(0))

    def forward(self, statistics):
        self.length = torch.where(statistics.trusted, 0, self.length + 1)
        return ZeroElements(), Skip(~statistics.trusted & (self.length <= 3))


class Forgetful(Patience):
    """Count where no state_dict sees it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("length", self.length, persistent=False)


def test_memory_of_a_policy_has_to_be_saved():
    check_policy(Patience)
    with pytest.raises(ConformanceError, match="What it remembers is in its state_dict"):
        check_policy(Forgetful)
