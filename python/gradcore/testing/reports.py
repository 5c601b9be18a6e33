"""Reports of a real guard, and whether anybody keeps them."""

from __future__ import annotations

import gc
import types
import weakref
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from gradcore.guard import Guard
from gradcore.report import Report
from gradcore.testing.situations import extreme, ordinary, untrusted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gradcore.testing.subject import Subject

PLANS: Final = (
    {"nonfinite": "skip", "max_norm": 1.0},
    {"nonfinite": "propagate"},
    {"nonfinite": "zero", "clip": ("value", {"limit": 1e-3})},
)
"""Guards whose reports are looked at: NaN norms, skips and repairs are among them."""


class TracedReport(Report):
    """A report that can be asked whether it is still alive."""

    __slots__ = ("__weakref__",)


def traced(report: Report) -> TracedReport:
    """A copy that nobody else holds."""
    return TracedReport(**{each.name: getattr(report, each.name) for each in fields(report)})


def reports_of(subject: Subject, watcher: object) -> list[tuple[str, Report]]:
    """Reports of all kinds of steps, each with words, and with what ``watcher`` asks for."""
    needs = getattr(watcher, "needs", ())
    return [pair for options in PLANS for pair in _run(subject, needs, options)]


def _run(subject: Subject, needs: Any, options: dict[str, Any]) -> Iterator[tuple[str, Report]]:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    try:
        guard = Guard(model, needs=needs, max_consecutive=None, **options)
    except Exception as error:
        raise subject.broken(
            "`needs` names statistics that can be measured.", needs, error
        ) from error
    for situation in [*ordinary(18), *untrusted(), *extreme(), *ordinary(6)]:
        for parameter, gradient in zip(model.parameters(), situation.gradients, strict=True):
            parameter.grad = None if gradient is None else gradient.clone()
        report = guard.step(optimizer, loss=situation.loss)
        yield f"a report of {situation.words}, with {options}", report


def alive(references: Sequence[weakref.ref[Any]]) -> int:
    """How many of them something still holds."""
    if any(reference() is not None for reference in references):
        gc.collect()  # cycles that nothing else holds
    return sum(reference() is not None for reference in references)


def holds(holder: object, kinds: tuple[type, ...]) -> object | None:
    """Something of these kinds that can be reached from an object or what its class defines."""
    seen: set[int] = set()
    rest: list[Any] = [holder, *(vars(kind) for kind in type(holder).__mro__)]
    while rest:
        each = rest.pop()
        if id(each) in seen or isinstance(each, (type, types.ModuleType)):
            continue
        seen.add(id(each))
        if isinstance(each, kinds):
            return each
        if isinstance(each, types.FunctionType):  # not its globals, which are not its own
            rest += [cell.cell_contents for cell in each.__closure__ or ()]
            rest += [each.__dict__, each.__defaults__]
        else:
            rest += gc.get_referents(each)
    return None
