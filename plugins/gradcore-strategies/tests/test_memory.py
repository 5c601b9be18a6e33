"""What holds for every strategy of the package that has a memory."""

from __future__ import annotations

import io
from typing import Any, TypeAlias

import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn

import gradcore
import gradcore_strategies
from journeys import Step, journey

Kind: TypeAlias = Any  # a class that is a module and a strategy

ALL: list[Kind] = [getattr(gradcore_strategies, name) for name in gradcore_strategies.__all__]
REMEMBERING = [kind for kind in ALL if kind().state_dict()]
every_strategy = pytest.mark.parametrize("kind", REMEMBERING, ids=lambda kind: str(kind.name))


def decisions(strategy: nn.Module, steps: list[Step]) -> list[Any]:
    """Factors, or whether to skip, as plain values."""
    plans = [strategy(step.statistics()) for step in steps]
    return [(p.factors if isinstance(p, gradcore.Scale) else p.when).tolist() for p in plans]


def bits(strategy: nn.Module) -> dict[str, bytes]:
    """Every bit of the memory."""
    return {name: value.numpy().tobytes() for name, value in strategy.state_dict().items()}


def bound(kind: Kind) -> Any:
    """A strategy that knows three parameters, as in a guard."""
    strategy: Any = kind()
    getattr(strategy, "bind", len)(["a", "b", "c"])
    return strategy


def test_all_but_one_have_a_memory() -> None:
    assert [kind.name for kind in ALL if kind not in REMEMBERING] == ["agc"]


@every_strategy
def test_a_fresh_one_goes_on_bit_for_bit_from_a_checkpoint(kind: Kind) -> None:
    steps = journey()
    first, second = bound(kind), bound(kind)
    decisions(first, steps[:170])

    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert decisions(first, steps[170:]) == decisions(second, steps[170:])
    assert bits(first) == bits(second)


@every_strategy
def test_steps_that_cannot_be_trusted_leave_no_trace(kind: Kind) -> None:
    steps = journey()
    all_of_them, trusted = bound(kind), bound(kind)
    decisions(all_of_them, steps)

    decisions(trusted, [step for step in steps if step.trusted])
    assert bits(all_of_them) == bits(trusted)
    assert sum(step.trusted for step in steps) < len(steps) - 30


@every_strategy
def test_steps_without_gradients_neither_teach_nor_break_anything(kind: Kind) -> None:
    steps = [step for step in journey(150) if step.norm > 0.0]
    nothing = [Step((None, None, None)), Step((0.0, None, 0.0))] * 40
    strategy, undisturbed = bound(kind), bound(kind)

    quiet = (False, 1.0, [1.0, 1.0, 1.0])
    assert all(decision in quiet for decision in decisions(strategy, nothing))
    assert_array_equal(decisions(strategy, steps), decisions(undisturbed, steps))
    assert all(decision in quiet for decision in decisions(strategy, nothing))


@every_strategy
def test_memory_is_finite_whatever_comes(kind: Kind) -> None:
    strategy = bound(kind)
    huge = [Step((1.7e308, 1.7e308, None), 1.0), Step((1e300, 1e200, 1e-300), 1e300)] * 50
    for plan in decisions(strategy, [*huge, *journey(), *huge]):
        assert min(plan if isinstance(plan, list) else [plan]) >= 0.0

    assert all(bool(value.isfinite().all()) for value in strategy.state_dict().values())


@every_strategy
def test_it_can_be_compiled_as_one_graph(kind: Kind) -> None:
    steps = journey(60)
    eager, compiled = bound(kind), bound(kind)
    graph: Any = torch.compile(compiled, fullgraph=True, backend="aot_eager")

    assert decisions(graph, steps) == decisions(eager, steps)
    assert bits(compiled) == bits(eager)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: str(kind.name))
def test_a_guard_finds_it_by_name(kind: Kind) -> None:
    guard = gradcore.Guard(nn.Linear(2, 1), clip=kind.name)

    assert type(guard.clip) is kind
