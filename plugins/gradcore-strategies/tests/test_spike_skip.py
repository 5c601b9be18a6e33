"""SpikeSkip skips what stands out, as numpy works it out, and remembers none of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gradcore
from gradcore_strategies import SpikeSkip
from journeys import Step, calm, journey, skips


class Oracle:
    """The rule with two lists."""

    def __init__(self, window: int = 128, sigmas: float = 6.0, patience: int | None = 128) -> None:
        self.window, self.sigmas = window, sigmas
        self.patience = np.inf if patience is None else patience
        self.norms: list[float] = []
        self.losses: list[float] = []
        self.streak = 0

    def __call__(self, step: Step) -> bool:
        if self.streak >= self.patience:
            self.norms, self.losses = [], []
        spike = self.above(self.norms, step.norm)
        if step.loss is not None:
            spike |= self.above(self.losses, step.loss)
        if step.trusted:
            self.streak = self.streak + 1 if spike else 0
            if not spike and step.norm > 0.0:
                self.norms.append(step.norm)
            if not spike and step.loss is not None:
                self.losses.append(step.loss)
        return spike

    def above(self, values: list[float], value: float) -> bool:
        known = values[-self.window :]
        if len(known) < self.window // 2:
            return False
        return bool(value > np.mean(known) + self.sigmas * np.std(known, ddof=1))


OPTIONS: list[dict[str, Any]] = [
    {},
    {"window": 20, "sigmas": 2.0, "patience": 3},
    {"window": 5, "sigmas": 1.0, "patience": None},
]


@pytest.mark.parametrize("with_loss", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_same_steps_of_a_training_are_skipped_as_with_numpy(
    options: dict[str, Any], with_loss: bool
) -> None:
    steps = [step if with_loss else replace(step, loss=None) for step in journey()]
    oracle = Oracle(**options)

    expected = [oracle(step) for step in steps]
    assert skips(SpikeSkip(**options), steps) == expected
    assert 3 < sum(expected) < len(steps)


@pytest.mark.parametrize("spike", [Step((9.0,), 1.0), Step((1.0,), 9.0)], ids=["norm", "loss"])
def test_a_spike_of_either_is_skipped_and_does_not_hide_the_next(spike: Step) -> None:
    strategy = SpikeSkip()
    assert not any(skips(strategy, calm(200)))

    assert skips(strategy, [spike] * 5) == [True] * 5
    assert not any(skips(strategy, calm(20, seed=1)))


def test_a_level_that_stays_is_taken_up_after_some_patience() -> None:
    strategy = SpikeSkip(patience=10)
    skips(strategy, calm(200))

    after = skips(strategy, calm(300, level=30.0, seed=1))
    assert after == [True] * 10 + [False] * 290
    assert skips(strategy, [Step((900.0,), 30.0)]) == [True]


def test_a_guard_skips_by_the_loss_and_leaves_every_bit() -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    guard = gradcore.Guard(model, clip=SpikeSkip(window=16))

    def step(loss: float) -> gradcore.Report:
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        return guard.step(optimizer, loss=loss)

    reports = [step(1.0 + 0.01 * (i % 3)) for i in range(20)]
    before = model.weight.detach().clone()
    assert step(5.0).skipped
    assert torch.equal(model.weight, before)
    assert not any(report.skipped for report in [*reports, step(1.0)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 3}, "window must be a whole number of at least 4; got 3"),
        ({"sigmas": 0.0}, "sigmas must be finite and greater than 0; got 0.0"),
        ({"patience": 0}, "patience must be a whole number of at least 1; got 0"),
    ],
)
def test_an_option_that_cannot_be_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpikeSkip(**options)
