"""What holds for every strategy with a memory."""

from __future__ import annotations

import math

import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn

import gradcore
import training
from gradcore.builtin import STRATEGIES
from journeys import Step, Walk, journey, through_a_file

REMEMBERING = [each for each in STRATEGIES if issubclass(each, nn.Module) and each().state_dict()]
every_strategy = pytest.mark.parametrize("kind", REMEMBERING, ids=lambda kind: kind.name)


def test_all_that_should_remember_do():
    assert [kind.name for kind in REMEMBERING] == ["adaptive", "ema", "percentile"]


@every_strategy
def test_a_fresh_guard_goes_on_bit_for_bit_from_a_checkpoint(kind):
    steps = journey()
    first, second = Walk(kind()), Walk(kind())
    first.scales(steps[:170])

    second.guard.load_state_dict(through_a_file(first.guard.state_dict()))
    assert_array_equal(first.scales(steps[170:]), second.scales(steps[170:]))
    assert training.freeze(first.memory()) == training.freeze(second.memory())


@every_strategy
def test_steps_that_cannot_be_trusted_leave_no_trace(kind):
    steps = journey()
    all_of_them, trusted = Walk(kind()), Walk(kind())
    all_of_them.scales(steps)

    trusted.scales([step for step in steps if step.trusted])
    assert training.freeze(all_of_them.memory()) == training.freeze(trusted.memory())
    assert sum(step.trusted for step in steps) < len(steps) - 30


@every_strategy
def test_memory_is_finite_whatever_comes(kind):
    walk = Walk(kind())
    huge = [Step((1.7e308, 1.7e308, None), 1.0)] * 20
    walk.scales([*huge, *journey(), *huge])

    assert all(bool(value.isfinite().all()) for value in walk.memory().values())


@every_strategy
def test_steps_without_gradients_neither_teach_nor_break_anything(kind):
    steps = [step for step in journey(100) if step.norm > 0.0]
    nothing = [Step((None, None, None), 1.0), Step((0.0, None, 0.0), 1.0)]
    walk, undisturbed = Walk(kind()), Walk(kind())

    assert (walk.scales(nothing * 30) == 1.0).all()
    assert_array_equal(walk.scales(steps), undisturbed.scales(steps))
    assert (walk.scales(nothing) == 1.0).all()


@every_strategy
def test_a_norm_beyond_float64_is_shrunk_but_not_to_nothing(kind):
    walk = Walk(kind())
    walk.scales([Step((1.0, 1.0, 1.0), 1.0)] * 20)

    report = walk.take(Step((1.7e308, 1.7e308, None), 1.0))
    assert math.isinf(report.norm)
    assert 0.0 < report.scale < 1e-307


@every_strategy
def test_it_can_be_compiled_as_one_graph(kind):
    """Without its own state in the graph it would be another strategy."""
    steps = [step for step in journey(60) if not step.nan]
    eager, compiled = kind(), torch.compile(kind(), fullgraph=True, backend="aot_eager")
    owners = [nn.Parameter(torch.zeros((), dtype=torch.float64)) for _ in range(3)]

    for step in steps:
        for owner, norm in zip(owners, step.norms, strict=True):
            owner.grad = None if norm is None else owner.new_tensor(norm)
        statistics = gradcore.measure(owners)
        expected = eager(statistics).factors
        assert compiled(statistics).factors.tolist() == expected.tolist()
    assert training.freeze(compiled.state_dict()) == training.freeze(
        {f"_orig_mod.{name}": value for name, value in eager.state_dict().items()}
    )
