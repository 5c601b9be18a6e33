"""A guard as it is described, step by step in exact numbers: slow, and of no code of the fast one.

Policies are those that are built in, with the options of `POLICIES`; their formulas are written
down again here, in plain Python, and those of strategies in slow_bounds.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import oracle
from slow_bounds import SlowBounds

REPLACEMENT = (0.5, 2.0, -3.0)
OVERFLOW = 1e6

POLICIES: dict[str, dict[str, Any]] = {
    "propagate": {},
    "detect": {"overflow": OVERFLOW},
    "raise": {},
    "zero": {"overflow": OVERFLOW},
    "replace": dict(zip(("nan", "posinf", "neginf"), REPLACEMENT, strict=True)),
    "zero_parameter": {},
    "scale": {},
    "skip": {},
    "restore": {"snapshot_every": 2},
    "adaptive": {"max_share": 0.3, "skip_from": 2, "restore_from": 3, "snapshot_every": 2},
}

Row = list[oracle.Element] | None
"""The elements of a gradient, if there is one."""


@dataclass
class Expected:
    """What one step should do and report."""

    gradients: list[Row]
    """As they are left, if the step is taken."""
    counts: tuple[int, int, int]
    norm: float
    clipped_norm: float
    first_nonfinite: int | None
    last_clean: int | None
    repaired: int = 0
    skipped: bool = False
    restored: bool = False
    stopped: bool = False
    snapshot: bool = False
    """One is taken, before anything is changed."""


class SlowGuard:
    """Decides from plain numbers what a `gradcore.Guard` of the same options should do."""

    def __init__(self, policy: str, strategy: str | None, max_consecutive: int) -> None:
        self.policy, self.limit = policy, max_consecutive
        self.overflow = POLICIES[policy].get("overflow", math.inf)
        self.bounds = SlowBounds(strategy)
        self.steps = self.streak = 0
        self.norms: list[float] = []
        self.events = 0
        """Of the policy's own count."""
        self.trained: Sequence[object] | None = None
        """What the snapshot is of; None before there is one."""
        self.age = 0

    @property
    def rolls_back(self) -> bool:
        return "snapshot_every" in POLICIES[self.policy]

    def step(
        self, rows: list[Row], forms: list[oracle.Format], loss: float | None, trained: list[object]
    ) -> Expected:
        """Take one step with these gradients, elements of these formats."""
        replacement = REPLACEMENT if self.policy == "replace" else None
        facts = [
            None
            if row is None
            else oracle.facts(row, form, overflow=self.overflow, replacement=replacement)
            for row, form in zip(rows, forms, strict=True)
        ]
        bad = [0 if fact is None else fact.nan + fact.posinf + fact.neginf for fact in facts]
        known = [fact for fact in facts if fact is not None]
        counts = tuple(sum(getattr(f, name) for f in known) for name in ("nan", "posinf", "neginf"))
        event = sum(bad) > 0 or (loss is not None and not math.isfinite(loss))
        share = sum(bad) / max(1, sum(fact.numel for fact in known))

        self.events = self.events + 1 if event else 0
        severe = share > 0.3 or self.events >= 2 or (loss is not None and not math.isfinite(loss))
        skip = event and (self.policy in {"skip", "restore"} or (self._is("adaptive") and severe))
        restore = event and (self._is("restore") or (self._is("adaptive") and self.events >= 3))
        stop = event and self._is("raise")

        norms = [0.0 if fact is None else fact.l2 for fact in facts]
        left = [
            0.0 if self._is("zero_parameter") and b else n for n, b in zip(norms, bad, strict=True)
        ]
        shrink = [
            1.0 - b / fact.numel if self._is("scale") and fact is not None and fact.numel else 1.0
            for b, fact in zip(bad, facts, strict=True)
        ]
        seen = [norm * factor for norm, factor in zip(left, shrink, strict=True)]
        bounds = self.bounds.factors(seen, trusted=not event)
        factors = [one * other for one, other in zip(shrink, bounds, strict=True)]
        limit = self.bounds.limit

        after = [
            None if row is None else [self._left(e, form, b, factor, limit) for e in row]
            for row, form, b, factor in zip(rows, forms, bad, factors, strict=True)
        ]
        expected = Expected(
            gradients=after,
            counts=counts,  # type: ignore[arg-type] - three of them
            norm=norm_of_norms(norms) if skip or stop else self._norm(rows, left),
            clipped_norm=math.nan,
            first_nonfinite=max((i for i, b in enumerate(bad) if b), default=None),
            last_clean=None,
        )
        if expected.first_nonfinite is not None:
            later = range(expected.first_nonfinite + 1, len(rows))
            expected.last_clean = next((i for i in later if rows[i] is not None), None)
        expected.clipped_norm = expected.norm if skip else norm_of(after)

        self.streak = self.streak + 1 if event else 0
        if self.rolls_back:
            expected.snapshot = self._snapshot(trained, trusted=not (event or skip))
        if stop or (event and self.streak >= self.limit):
            expected.stopped, expected.skipped = True, True
            expected.norm = expected.clipped_norm = norm_of_norms(norms)
        elif skip:
            expected.skipped, expected.restored = True, restore
            self.age = 0 if restore else self.age
        if not expected.skipped and self.policy not in {"propagate", "detect"}:
            expected.repaired = sum(counts)
        self.steps += 1
        self.norms.append(expected.norm)
        return expected

    def forget_snapshot(self) -> None:
        """As after a state was loaded."""
        self.trained, self.age = None, 0

    def _is(self, policy: str) -> bool:
        return self.policy == policy

    def _snapshot(self, trained: list[object], *, trusted: bool) -> bool:
        same = self.trained is not None and list(map(id, trained)) == list(map(id, self.trained))
        due = not same or (trusted and self.age >= POLICIES[self.policy]["snapshot_every"])
        if due:
            self.trained, self.age = list(trained), 0
        self.age += trusted
        return due

    def _norm(self, rows: list[Row], left: list[float]) -> float:
        """As the optimizer would see it without clipping."""
        if self.policy in {"propagate", "detect"}:
            return norm_of(rows)
        return norm_of_norms(left)

    def _left(
        self, element: oracle.Element, form: oracle.Format, bad: int, factor: float, limit: float
    ) -> oracle.Element:
        """One element after repair, multiplication and limit."""
        if self._is("zero_parameter") and bad:
            element = element.__class__(0)
        elif self._is("replace"):
            element = oracle.replaced(element, REPLACEMENT, form)
        elif self.policy in {"zero", "scale", "adaptive"}:
            element = oracle.zeroed(element, self.overflow)
        return oracle.clamped(oracle.scaled(element, factor, form), limit, form)


def norm_of(rows: list[Row]) -> float:
    """The joint norm of everything: NaN or infinite if an element is."""
    elements = [element for row in rows if row is not None for element in row]
    kinds = {oracle.kind(element) for element in elements}
    if "nan" in kinds:
        return math.nan
    if kinds & {"posinf", "neginf"}:
        return math.inf
    return oracle.facts(elements).l2


def norm_of_norms(norms: list[float]) -> float:
    return math.hypot(*norms)
