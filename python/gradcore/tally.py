"""How often things happened in a run, over all steps that were seen."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gradcore.report import Report


@dataclass(slots=True)
class Tally:
    """Counts of steps, and of elements."""

    steps: int = 0
    nonfinite: int = 0
    """Steps with a non-finite gradient or loss."""
    clipped: int = 0
    """Steps in which a strategy's bound changed a gradient."""
    skipped: int = 0
    """Steps that the optimizer was not allowed to take."""
    unhealthy: int = 0
    """Steps that were not healthy."""
    repaired: int = 0
    """Elements that were given other values."""

    @classmethod
    def of(cls, reports: Iterable[Report]) -> Tally:
        """Count several reports."""
        tally = cls()
        for report in reports:
            tally.add(report)
        return tally

    def add(self, report: Report) -> None:
        """Count one more."""
        self.steps += 1
        self.nonfinite += is_event(report)
        self.clipped += report.clipped
        self.skipped += report.skipped
        self.unhealthy += not report.healthy
        self.repaired += report.repaired

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(a + b for a, b in zip(self.counts(), other.counts(), strict=True)))

    def __sub__(self, other: Tally) -> Tally:
        return Tally(*(a - b for a, b in zip(self.counts(), other.counts(), strict=True)))

    def counts(self) -> tuple[int, ...]:
        """All of them, in order."""
        return tuple(self.to_dict().values())

    def to_dict(self) -> dict[str, int]:
        """Plain numbers by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Any) -> Tally:
        """What `to_dict` gave.

        Raises:
            ValueError: It is something else, or more happened than there were steps.
        """
        names = [field.name for field in fields(cls)]
        if isinstance(plain, dict) and plain.keys() >= set(names):
            counts = [plain[name] for name in names]
            if all(type(count) is int and count >= 0 for count in counts):
                tally = cls(*counts)
                if max(tally.nonfinite, tally.clipped, tally.skipped) <= tally.steps:
                    return tally
        raise ValueError(f"A tally is whole numbers {', '.join(names)}; got {plain!r}.")


def is_event(report: Report) -> bool:
    """Whether gradients or loss were not finite."""
    lost = report.loss is not None and not math.isfinite(report.loss)
    return lost or report.nonfinite.total > 0
