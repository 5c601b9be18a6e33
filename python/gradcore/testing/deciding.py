"""Strategies and policies put to work: what both of them have to keep to."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from gradcore.binding import Binding
from gradcore.decision import Decision, decide
from gradcore.measuring import Measuring
from gradcore.nonfinite import Propagate
from gradcore.testing.situations import SHAPES, exact, step_of, without_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gradcore.testing.situations import Situation, Step
    from gradcore.testing.subject import Subject

AFTER: Final = 25
"""So many steps are compared afterwards."""

BLIND: Final = (
    "No value is looked at: no .item(), no `if` on a tensor, no tensor of another device."
)
PLAN: Final = "It answers with a plan, from the statistics in its `needs` and those always there."
ALIKE: Final = (
    "Two that saw the same steps decide alike: nothing is shared between instances or drawn at "
    "random."
)
MEMORY: Final = (
    "What it remembers is in its state_dict(), as tensors and plain values, and another one that "
    "loads them goes on bit for bit."
)


class Deciding:
    """An instance that decides step by step, as it would in a guard."""

    def __init__(self, subject: Subject, names: Sequence[str] = tuple(SHAPES)) -> None:
        self._subject = subject
        self.part = subject.make()
        self._bind = Binding(self.part)
        self.rename(names)

    def rename(self, names: Sequence[str]) -> None:
        """From now on steps are about other parameters."""
        self._names = tuple(names)
        try:
            self._bind(self._names)
        except Exception as error:
            raise self._subject.broken("It can be bound to names.", f"{[*names]}", error) from error

    def __call__(self, step: Step, rule: str = PLAN) -> Decision:
        """What it decides; the statistics are the same afterwards."""
        self._bind(self._names, step.statistics.table.device)
        strategy = self._subject.kind == "clip"
        try:
            with torch.no_grad():
                decision = decide(
                    step.statistics,
                    Propagate() if strategy else self.part,
                    self.part if strategy else None,
                )
        except Exception as error:
            raise self._subject.broken(rule, step.words, error) from error
        if exact(step.statistics) != step.facts:
            raise self._subject.broken(
                "Statistics are read, never written.", step.words, "they were changed"
            )
        said: tuple[object, ...] = (decision.skip, decision.stop, decision.restore)
        for when in (each for each in said if each is not None):
            if not isinstance(when, Tensor) or when.dtype != torch.bool or when.dim():
                raise self._subject.broken(
                    "`when` of a verb is a 0-d tensor of bool.", step.words, f"it was {when!r}"
                )
        return decision

    def saved(self, words: str) -> Any:
        """Its memory after a trip through a file."""
        state_dict = getattr(self.part, "state_dict", None)
        file = io.BytesIO()
        try:
            torch.save(state_dict() if state_dict else {}, file)
            file.seek(0)
            return torch.load(file, weights_only=True)
        except Exception as error:
            raise self._subject.broken(MEMORY, words, error) from error

    def load(self, state: Any, words: str) -> None:
        """Take over the memory of another one."""
        load_state_dict = getattr(self.part, "load_state_dict", None)
        try:
            if load_state_dict:
                load_state_dict(state)
        except Exception as error:
            raise self._subject.broken(MEMORY, words, error) from error


def measured(
    subject: Subject, situations: Iterable[Situation], names: Sequence[str] = tuple(SHAPES)
) -> list[Step]:
    """Situations as the subject would see them in a guard."""
    part = subject.make()
    try:
        strategy = subject.kind == "clip"
        measuring = Measuring(Propagate() if strategy else part, part if strategy else None, (), ())
        return [step_of(situation, measuring, names) for situation in situations]
    except Exception as error:
        raise subject.broken(
            "`needs` names statistics that can be measured.", getattr(part, "needs", ()), error
        ) from error


def check_blindness(subject: Subject, steps: Sequence[Step]) -> None:
    """Statistics without values, on a device of their own, are all that a decision needs."""
    deciding = Deciding(subject)
    for step in steps:
        hidden = without_values(step)
        decision = deciding(hidden, BLIND)
        for each in fields(decision):
            verb = getattr(decision, each.name)
            for tensor in (verb, getattr(verb, "factors", None)):
                if isinstance(tensor, Tensor) and tensor.dim() and not tensor.is_meta:
                    raise subject.broken(BLIND, hidden.words, f"{verb!r} is on {tensor.device}")


def check_alike(subject: Subject, steps: Sequence[Step]) -> None:
    """A third instance that sees other steps in between changes nothing."""
    with _seeds(1):
        one = Deciding(subject)
        expected = [exact(one(step)) for step in steps]
    with _seeds(2):
        other, third = Deciding(subject), Deciding(subject)
        for i, step in enumerate(steps):
            third(steps[-1 - i])
            if exact(other(step)) != expected[i]:
                raise subject.broken(ALIKE, step.words, "they decided differently")


def check_memory(subject: Subject, steps: Sequence[Step], cuts: Iterable[int]) -> None:
    """Saved after so many steps, it goes on in another instance as if nothing had happened."""
    for cut in cuts:
        one, other = Deciding(subject), Deciding(subject)
        for step in steps[:cut]:
            one(step)
        words = f"memory of {cut} steps"
        other.load(one.saved(words), words)
        for step in steps[cut : cut + AFTER]:
            if exact(one(step)) != exact(other(step)):
                given = f"{words}, loaded by another one, and {step.words}"
                raise subject.broken(MEMORY, given, "they decided differently")


@contextmanager
def _seeds(seed: int) -> Iterator[None]:
    """Random numbers of a seed, and afterwards those that would have come."""
    with torch.random.fork_rng(devices=()):
        before = random.getstate()
        torch.manual_seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before)
