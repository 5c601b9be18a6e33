"""The rules for a non-finite policy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from gradcore.errors import NonfiniteGradientError
from gradcore.guard import Guard
from gradcore.testing.deciding import (
    PLAN,
    check_alike,
    check_blindness,
    check_memory,
    measured,
)
from gradcore.testing.situations import Situation, ordinary, planted, untrusted
from gradcore.testing.subject import Subject
from gradcore.validation import require_threshold

if TYPE_CHECKING:
    from collections.abc import Callable

    from gradcore.report import Report

UNTOUCHED: Final = "Where everything is finite, gradients keep every bit and the step is taken."
OTHERS: Final = (
    "Finite elements keep their values, unless the step is skipped, the gradient they are in is "
    "scaled down, or it is zeroed as a whole for what else is in it."
)
PASSES: Final = (
    "Nothing that is not finite is let through, unless the class says `passes_nonfinite = True`."
)
REFUSED: Final = "Who raises changes nothing: gradients and parameters keep every bit."

STEPS: Final = 60
CUTS: Final = 12
"""Finite steps, and places within streaks of others at which memory is saved."""

FAR: Final = (12, -12, 5, 150)
FAR_EVERY: Final = 7
"""Powers of ten that every so-manieth finite step is multiplied by: a policy is about what is not
finite, and finite is whatever is below `overflow`."""

SINGLE_EVERY: Final = 4
STREAK_EVERY: Final = 30
"""Finite steps from one that is not to the next, and from one streak of them to the next."""


def check_policy(offered: Callable[..., Any], /, **options: Any) -> None:
    """Put a non-finite policy to work in a guard, and raise if it breaks a rule.

    Its name, description and options; that it looks at no value; that nothing is shared or random,
    and its memory, if it has any, is saved and loaded bit for bit; that finite gradients are left
    alone; and that what is not finite does not get through, unless the class says so with
    ``passes_nonfinite = True``.  Parameters are those of `check_strategy`.

    Args:
        offered: The class, or a function that makes one.
        **options: What each is made with.

    Raises:
        ConformanceError: It breaks a rule.
        TypeError: ``offered`` is an instance.
    """
    subject = Subject("nonfinite", offered, options)
    subject.check_words()
    overflow = getattr(subject.make(), "overflow", math.inf)
    try:
        require_threshold("overflow", overflow)
    except (TypeError, ValueError) as error:
        raise subject.broken("`overflow` is a magnitude.", "the class", error) from error
    situations, bad = _mixed(overflow)
    within = [i for i, each in enumerate(situations) if each.words in bad and i > 1]
    steps = measured(subject, situations)
    check_alike(subject, steps[:100])
    check_blindness(subject, steps[:60])
    check_memory(subject, steps, within[:CUTS])
    run = _Run(subject)
    for situation in situations[:100]:
        run.step(situation, finite=situation.words not in bad)


def _mixed(overflow: float) -> tuple[list[Situation], set[str]]:
    """Finite and other steps, single ones and streaks, and the words for the others."""
    bad = [_within(each, overflow) for each in untrusted()]
    if math.isfinite(overflow):
        usual = _within(ordinary(1)[0], overflow).gradients
        bad.append(Situation("an element beyond overflow", planted(usual, 2.0 * overflow), 1.0))
    mixed: list[Situation] = []
    for i, each in enumerate(ordinary(STEPS)):
        factor = 10.0 ** FAR[i // FAR_EVERY % len(FAR)] if i % FAR_EVERY == FAR_EVERY - 1 else 1.0
        mixed.append(_within(_times(each, factor), overflow))
        if i % STREAK_EVERY == SINGLE_EVERY:
            mixed += bad
        elif i % SINGLE_EVERY == 0:
            mixed.append(bad[i // SINGLE_EVERY % len(bad)])
    return mixed, {each.words for each in bad}


def _times(situation: Situation, factor: float) -> Situation:
    """The same with every gradient times a factor, which its words tell."""
    if factor == 1.0:
        return situation
    gradients = [None if each is None else each * factor for each in situation.gradients]
    return replace(situation, words=f"{situation.words}, times {factor:g}", gradients=gradients)


def _within(situation: Situation, overflow: float) -> Situation:
    """The same with every finite element below the overflow."""
    finite = [
        each[each.isfinite()].abs().max().item()
        for each in situation.gradients
        if each is not None and bool(each.isfinite().any())
    ]
    largest = max(finite, default=0.0)
    if largest < overflow:
        return situation
    return replace(situation, gradients=_times(situation, 0.5 * overflow / largest).gradients)


class _Run:
    """Steps of a guard with the policy, and what was there before each."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._policy = subject.make()
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()
        self._parameters = list(model.parameters())
        self._optimizer = torch.optim.SGD(self._parameters, lr=1e-3, momentum=0.9)
        try:
            self._guard = Guard(model, nonfinite=self._policy, max_consecutive=None)
        except Exception as error:
            raise subject.broken("A guard can be made with it.", "a model", error) from error

    def step(self, situation: Situation, *, finite: bool) -> None:
        """Take one step and look at what became of it."""
        for parameter, gradient in zip(self._parameters, situation.gradients, strict=True):
            parameter.grad = None if gradient is None else gradient.clone()
        before = [parameter.detach().clone() for parameter in self._parameters]
        try:
            report = self._guard.step(self._optimizer, loss=situation.loss)
        except NonfiniteGradientError as error:
            if finite:
                raise self._subject.broken(UNTOUCHED, situation.words, error) from error
            self._require_same(situation, before)
            return
        except Exception as error:
            raise self._subject.broken(PLAN, situation.words, error) from error
        if finite:
            if report.skipped or report.restored:
                done = "was skipped" if report.skipped else "was rolled back"
                raise self._subject.broken(UNTOUCHED, situation.words, f"the step {done}")
            self._require_same(situation, None)
        elif not (report.skipped or report.restored):
            self._require_repaired(situation, report)

    def _require_same(self, situation: Situation, parameters: list[Tensor] | None) -> None:
        """Gradients are as planted, and parameters as they were."""
        rule = UNTOUCHED if parameters is None else REFUSED
        pairs = [(p.grad, g) for p, g in zip(self._parameters, situation.gradients, strict=True)]
        pairs += zip(self._parameters, parameters or (), strict=False)
        for now, then in pairs:
            if now is not None and then is not None and not torch.equal(_bits(now), _bits(then)):
                raise self._subject.broken(rule, situation.words, f"{then} became {now}")

    def _require_repaired(self, situation: Situation, report: Report) -> None:
        """The step was taken: with what?"""
        passes = getattr(self._policy, "passes_nonfinite", False)
        overflow = float(getattr(self._policy, "overflow", math.inf))
        rows = zip(self._parameters, situation.gradients, report.parameters, strict=True)
        for parameter, planted_one, row in rows:
            now = parameter.grad
            if now is None or planted_one is None:
                continue
            good = planted_one.isfinite() & (planted_one.abs() <= overflow)
            left = now[~(now.isfinite() & (now.abs() <= overflow))]
            if left.numel() and not passes:
                what = f"{left[0].item()} was left in the gradient of {row.name!r}"
                raise self._subject.broken(PASSES, situation.words, what)
            zeroed = not bool(good.all()) and not bool(now.any())
            expected = planted_one[good] * row.scale
            if not zeroed and not torch.allclose(now[good], expected, rtol=1e-12, atol=0.0):
                what = f"those of {row.name!r} became {now[good].tolist()}"
                given = f"{situation.words} ({planted_one[good].tolist()} were finite)"
                raise self._subject.broken(OTHERS, given, what)


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().view(torch.int64)
