"""The rules for a clip strategy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import torch

from gradcore.guard import Guard
from gradcore.testing.deciding import (
    AFTER,
    Deciding,
    check_alike,
    check_blindness,
    check_memory,
    measured,
)
from gradcore.testing.situations import SHAPES, exact, extreme, ordinary, untrusted
from gradcore.testing.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gradcore.decision import Decision
    from gradcore.testing.situations import Step

FACTORS: Final = "Factors lie in [0, 1], for a finite step and any other, and are never NaN."
TRUST: Final = (
    "Memory learns only from steps that can be trusted: `Statistics.trusted` is false where "
    "gradients or loss are not finite."
)
FINITE: Final = "Memory takes in finite norms only."

COUNTS: Final = (1, 2, 19)
"""Numbers of parameters, beside that of the usual ones."""

CUTS: Final = (1, 6, 110)
"""After so many steps memory is saved: at once, during a warm-up, and with windows filled."""

SEASON: Final = 40
"""Steps until a strategy is no beginner any more."""


def check_strategy(offered: Callable[..., Any], /, **options: Any) -> None:
    """Put a clip strategy to work and raise if it breaks a rule.

    Its name, description and options; that it looks at no value, and so runs on any device and
    waits for none; that factors lie in [0, 1] whatever the gradients, for any number of parameters;
    that nothing is shared or random; that memory learns from trusted steps alone, and is saved and
    loaded bit for bit; and that a guard takes steps with it.  The parameters are those of
    ``nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))``: ``0.weight``, ``0.bias``,
    ``2.weight`` and ``2.bias``, which patterns have to match.

    Args:
        offered: The class, or a function that makes one.
        **options: What each is made with.

    Raises:
        ConformanceError: It breaks a rule.
        TypeError: ``offered`` is an instance.
    """
    subject = Subject("clip", offered, options)
    subject.check_words()
    steps = measured(subject, ordinary(max(CUTS) + AFTER))
    check_alike(subject, steps[:SEASON])
    check_blindness(subject, steps)
    _check_factors(subject, steps)
    _check_counts(subject)
    check_memory(subject, steps, CUTS)
    _check_trust(subject, steps)
    _check_finite_memory(subject, steps)
    _check_in_guard(subject)


def _check_factors(subject: Subject, steps: Sequence[Step]) -> None:
    """Usual gradients, and extreme ones at the start and later, each followed by usual ones."""
    deciding = Deciding(subject)
    for step in steps:
        _require_factors(subject, step, deciding(step))
    for step in measured(subject, [*extreme(), *untrusted()]):
        for first in (0, SEASON):
            deciding = Deciding(subject)
            for usual in steps[:first]:
                deciding(usual)
            _require_factors(subject, step, deciding(step))
            for usual in steps[first : first + 3]:
                after = replace(usual, words=f"{step.words}, then {usual.words}")
                _require_factors(subject, after, deciding(after))


def _check_counts(subject: Subject) -> None:
    """Any number of parameters, also of more and of fewer than before.

    One that has no use for these names may say so.
    """
    usual = measured(subject, ordinary(3))
    for count in COUNTS:
        names = {f"{i}.weight": (2, i + 1) for i in range(count)}
        try:
            getattr(subject.make(), "bind", list)(tuple(names))
        except ValueError:
            continue
        fresh, changed = Deciding(subject, tuple(names)), Deciding(subject)
        for step in usual:
            changed(step)
        changed.rename(tuple(names))
        for step in measured(subject, ordinary(3, names), tuple(names)):
            for deciding, words in ((fresh, ""), (changed, f", and {len(SHAPES)} before")):
                given = replace(step, words=f"{count} parameters{words}")
                _require_factors(subject, given, deciding(given))


def _require_factors(subject: Subject, step: Step, decision: Decision) -> None:
    factors = getattr(decision.bound, "factors", None)
    if factors is None:
        return
    if not factors.is_floating_point():
        raise subject.broken("Factors are floating-point numbers.", step.words, factors.dtype)
    bad = factors[~((factors >= 0.0) & (factors <= 1.0))].reshape(-1)
    if bad.numel():
        raise subject.broken(FACTORS, step.words, f"returned a factor of {bad[0].item():.6g}")


def _check_trust(subject: Subject, steps: Sequence[Step]) -> None:
    """A twin that never sees the untrusted step decides alike afterwards."""
    for step in measured(subject, untrusted()):
        for first in (0, SEASON):
            one, other = Deciding(subject), Deciding(subject)
            for usual in steps[:first]:
                one(usual)
                other(usual)
            one(step)
            for usual in steps[first : first + AFTER]:
                if exact(one(usual)) != exact(other(usual)):
                    given = f"{step.words}, after {first} steps, and then {usual.words}"
                    raise subject.broken(TRUST, given, "the decision is another than without")


def _check_finite_memory(subject: Subject, steps: Sequence[Step]) -> None:
    """A norm beyond float64 leaves no more in the memory that is not finite than a usual one."""
    beyond = next(step for step in measured(subject, extreme()) if "beyond" in step.words)
    one, other = Deciding(subject), Deciding(subject)
    for usual in steps[:SEASON]:
        one(usual)
        other(usual)
    one(beyond)
    other(steps[SEASON])
    if _nonfinite(one.saved(beyond.words)) > _nonfinite(other.saved("memory")):
        raise subject.broken(FINITE, beyond.words, "there is NaN or infinity in its state_dict()")


def _nonfinite(state: dict[str, Any]) -> int:
    tensors = [value for value in state.values() if isinstance(value, torch.Tensor)]
    return sum(int((~tensor.isfinite()).sum()) for tensor in tensors)


def _check_in_guard(subject: Subject) -> None:
    """A guard protects real steps with it, one of them with a NaN."""
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    guard = Guard(model, clip=subject.make(), nonfinite="zero", max_consecutive=None)
    for situation in [*ordinary(8), *untrusted(), *ordinary(4)]:
        for parameter, gradient in zip(model.parameters(), situation.gradients, strict=True):
            parameter.grad = None if gradient is None else gradient.to(parameter.dtype)
        try:
            guard.step(optimizer, loss=situation.loss)
        except Exception as error:
            raise subject.broken("A guard can step with it.", situation.words, error) from error
    if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
        raise subject.broken("Parameters stay finite.", "a guard", "there is NaN or infinity")
