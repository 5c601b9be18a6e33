"""Gradients that a run may come up with, and what is measured of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from gradcore.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gradcore.measuring import Measuring
    from gradcore.statistics import Statistics

SHAPES: Final = {"0.weight": (3, 4), "0.bias": (3,), "2.weight": (2, 3), "2.bias": (2,)}
"""Parameters of ``nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))``."""

SPIKE: Final = 11
MISSING: Final = 13
ZERO: Final = 17
"""Every so-manieth step has a spike, a parameter without a gradient, a gradient of zeros."""


@dataclass(frozen=True, slots=True)
class Situation:
    """The gradients of one step and its loss."""

    words: str
    gradients: Sequence[Tensor | None]
    loss: float | None


@dataclass(frozen=True, slots=True)
class Step:
    """What a decision is asked about."""

    words: str
    statistics: Statistics
    facts: object
    """The statistics to the last bit, to see afterwards whether they were changed."""


def ordinary(count: int, shapes: Mapping[str, tuple[int, ...]] = SHAPES) -> list[Situation]:
    """Finite gradients of a run that drifts, with spikes, and gradients that are zero or missing.

    Always the same ones.
    """
    generator = torch.Generator().manual_seed(20)
    situations = []
    for step in range(count):
        size = math.exp(math.sin(step / 7)) * (30.0 if step % SPIKE == SPIKE - 1 else 1.0)
        gradients: list[Tensor | None] = [
            size * torch.randn(shape, generator=generator, dtype=torch.float64)
            for shape in shapes.values()
        ]
        last = len(gradients) - 1
        if step % MISSING == MISSING - 1 and last:
            gradients[step % last] = None
        if step % ZERO == ZERO - 1:
            gradients[last] = torch.zeros([*shapes.values()][last], dtype=torch.float64)
        loss = 2.0 * 0.99**step
        situations.append(Situation(f"ordinary gradients, step {step}", gradients, loss))
    return situations


def extreme() -> list[Situation]:
    """Finite gradients at the ends of what there can be."""
    usual = ordinary(1)[0].gradients
    largest = torch.finfo(torch.float64).max
    bottom = [None, *usual[1:]]

    def times(factor: float) -> list[Tensor | None]:
        return [None if each is None else each * factor for each in usual]

    return [
        Situation("no loss", usual, None),
        Situation("gradients that are all zero", times(0.0), 1.0),
        Situation("no gradient at all", [None] * len(usual), 1.0),
        Situation("a missing gradient", bottom, 1.0),
        Situation("gradients of 1e-300", times(1e-300), 1.0),
        Situation(
            "subnormal gradients",
            [None if each is None else torch.full_like(each, 5e-324) for each in usual],
            1.0,
        ),
        Situation("gradients of 1e300", times(1e300), 1e300),
        Situation(
            "finite gradients whose norm is beyond float64",
            [None if each is None else torch.full_like(each, largest) for each in usual],
            1.0,
        ),
    ]


def untrusted() -> list[Situation]:
    """Steps from which nothing may be learned."""
    usual = ordinary(1)[0].gradients
    inf = planted(usual, math.inf)
    huge = [None if each is None else each * 1e9 for each in planted(usual, -math.inf)]
    none = [None if each is None else torch.full_like(each, math.nan) for each in usual]
    return [
        Situation("a NaN in a gradient", [*planted(usual[:1], math.nan), *usual[1:]], 1.0),
        Situation("an infinite element in each gradient", inf, 1.0),
        Situation("an infinite element beside gradients of 1e9", huge, 1.0),
        Situation("gradients that are all NaN", none, 1.0),
        Situation("a loss that is NaN", usual, math.nan),
        Situation("a loss that is infinite", usual, math.inf),
    ]


def planted(gradients: Sequence[Tensor | None], value: float) -> list[Tensor | None]:
    """The gradients with a value in the first place of each that is there."""
    copies = [None if each is None else each.clone() for each in gradients]
    for each in copies:
        if each is not None:
            each.view(-1)[0] = value
    return copies


def step_of(situation: Situation, measuring: Measuring, names: Sequence[str]) -> Step:
    """What is measured of a situation, as a guard would measure it."""
    generator = torch.Generator().manual_seed(21)
    pairs = []
    for name, gradient in zip(names, situation.gradients, strict=True):
        shape = SHAPES.get(name, (2,)) if gradient is None else tuple(gradient.shape)
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        parameter = nn.Parameter(values)
        parameter.grad = None if gradient is None else gradient.clone()
        pairs.append((name, parameter))
    statistics = measuring(Parameters(pairs), situation.loss, looking=False)
    return Step(situation.words, statistics, exact(statistics))


def without_values(step: Step) -> Step:
    """The same step on a device that has no memory, so that nobody can look at a value."""
    statistics: Statistics = _on_meta(step.statistics)
    return Step(f"{step.words}, on the meta device", statistics, exact(statistics))


def _on_meta(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to("meta")
    if is_dataclass(value) and not isinstance(value, type):
        given = [each.name for each in fields(value) if each.init]
        return replace(value, **{name: _on_meta(getattr(value, name)) for name in given})
    return value


def exact(value: Any) -> object:
    """Something that is equal if, and only if, every bit is."""
    if isinstance(value, Tensor):
        if value.is_meta:
            return tuple(value.shape)
        bits = value.detach().cpu().contiguous().numpy().tobytes()
        return (str(value.dtype), tuple(value.shape), bits)
    if is_dataclass(value):
        return (type(value).__name__, *(exact(getattr(value, each.name)) for each in fields(value)))
    return value
