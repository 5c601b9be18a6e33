"""Strategies that break a rule are told which one; their correct twins pass."""

from __future__ import annotations

import random

import pytest
import torch

from gradcore import Clamp, Keep, Scale, Skip, ZeroElements
from gradcore.testing import ConformanceError, check_strategy


def strategy(decide, **attributes):
    """A strategy without memory that decides by a function of the statistics."""
    members = {"__doc__": "Bound gradients.", "name": "made", "__call__": staticmethod(decide)}
    return type("Made", (), {**members, **attributes})


def within(norm):
    """The factor for a norm of at most one."""
    return Scale((1.0 / norm).clamp(max=1.0))


def branch(statistics):
    return Scale(1.0 / statistics.norm) if statistics.norm > 1.0 else Keep()


def count_by_mask(statistics):
    return Scale(within(statistics.norm).factors * (statistics.l2[statistics.l2 > 0].numel() > 0))


def to_host_and_back(statistics):
    return within(statistics.norm.cpu().to(statistics.norm.device))


def on_the_cpu(statistics):
    return Scale(torch.tensor([0.5, 1.0, 1.0, 1.0], dtype=torch.float64) * (statistics.l2 >= 0))


def overwrite(statistics):
    return within(statistics.l2.clamp_(min=1e-9).sum())


WRONG = {
    "branches on a value": (branch, "No value is looked at.*Tensor.item"),
    "branches on a value, by max()": (
        lambda s: within(max(s.norm, s.l2.sum())),
        "No value is looked at.*Given ordinary gradients",
    ),
    "asks for a value": (lambda s: Scale(s.norm / s.norm.item()), "No value is looked at"),
    "has a shape that depends on values": (count_by_mask, "No value is looked at"),
    "waits for the device": (to_host_and_back, "No value is looked at.*Cannot copy"),
    "has a tensor on the CPU": (on_the_cpu, "No value is looked at.*device cpu"),
    "has factors on the CPU": (
        lambda s: Scale(torch.ones(4, dtype=torch.float64)),
        r"No value is looked at.*Scale.* is on cpu",
    ),
    "amplifies": (lambda s: Scale(1.0 / s.norm), r"Factors lie in \[0, 1\].*a factor of"),
    "turns gradients around": (lambda s: Scale(-within(s.norm).factors), "a factor of -"),
    "is NaN at zero norms": (
        lambda s: Scale((s.l2 / s.norm).clamp(max=1.0)),
        r"Factors lie in \[0, 1\].*Given gradients that are all zero.*factor of nan",
    ),
    "works for four parameters": (
        lambda s: Scale(torch.ones(4, dtype=torch.float64, device=s.norm.device)),
        r"answers with a plan.*Given 1 parameters: .*Scale",
    ),
    "has factors that are whole numbers": (
        lambda s: Scale(torch.ones_like(s.l2, dtype=torch.int64)),
        "floating-point.*torch.int64",
    ),
    "returns nothing": (lambda s: None, "answers with a plan.*None, which is no verb"),
    "returns a number": (lambda s: 0.5, "0.5, which is no verb"),
    "repairs": (lambda s: ZeroElements(), "for policies to say"),
    "skips for each parameter": (lambda s: Skip(s.l2 > 1.0), "0-d tensor of bool"),
    "skips by a bool of Python": (lambda s: Skip(False), "0-d tensor of bool.*it was False"),
    "reads what it does not ask for": (
        lambda s: within(s.max_abs.sum()),
        "answers with a plan.*max_abs was not measured: add 'max_abs' to `needs`",
    ),
    "draws lots": (
        lambda s: Scale(torch.rand((), dtype=torch.float64).to(s.norm.device)),
        "Two that saw the same steps decide alike.*decided differently",
    ),
    "draws lots from the standard library": (
        lambda s: Scale(torch.tensor(random.random())),  # noqa: S311 - not for secrets
        "Two that saw the same steps decide alike",
    ),
    "writes into statistics": (overwrite, "Statistics are read, never written"),
}


@pytest.mark.parametrize(("decide", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_strategy_that(decide, words):
    with pytest.raises(ConformanceError, match=rf"(?s)Clip strategy Made breaks a rule: .*{words}"):
        check_strategy(strategy(decide))


RIGHT = {
    "branch": lambda s: Scale(torch.where(s.norm > 1.0, 1.0 / s.norm, 1.0)),
    "share": lambda s: Scale((s.l2 / s.norm).nan_to_num(nan=1.0).clamp(max=1.0)),
    "count": lambda s: Scale(torch.ones_like(s.l2)),
    "device": lambda s: Scale(s.l2.new_tensor(0.5) * (s.l2 >= 0)),
    "constant": lambda s: Scale(torch.tensor(0.5)),
    "limit": lambda s: Clamp(0.5),
    "pair": lambda s: (within(s.norm), Skip(s.norm > 100.0)),
    "copy": lambda s: within(s.l2.clamp(min=1e-9).sum()),
}


@pytest.mark.parametrize("decide", RIGHT.values(), ids=RIGHT.keys())
def test_the_correct_twin_passes(decide):
    check_strategy(strategy(decide))


def test_who_asks_for_what_it_reads_passes():
    check_strategy(strategy(lambda s: within(s.max_abs.amax()), needs=("max_abs",)))


def test_needs_that_nobody_can_measure_are_said():
    with pytest.raises(ConformanceError, match="`needs` names statistics .*'median'"):
        check_strategy(strategy(lambda s: Keep(), needs=("median",)))


class LooksLater(torch.nn.Module):
    """Look at a value once a window of a hundred is full."""

    name = "looks_later"

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, statistics):
        self.calls += 1
        if self.calls > 100 and statistics.norm > 1.0:
            return within(statistics.norm)
        return within(statistics.norm)


def test_a_strategy_that_looks_at_a_value_only_later_is_told_so():
    with pytest.raises(ConformanceError, match=r"(?s)No value is looked at.*step 100"):
        check_strategy(LooksLater)
