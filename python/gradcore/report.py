"""What happened in one step, in plain numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from gradcore.printable import printable

if TYPE_CHECKING:
    from gradcore.parameter_table import ParameterReport

Severity = Literal["info", "warning", "critical"]

LISTED = 10
"""Parameters that `Report.summary` lists at most."""

WIDTH = 100
"""Columns of its lines at most, as far as names allow."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of non-finite elements; a complex element counts once."""

    nan: int = 0
    """Elements that are NaN, or a part of which is."""

    posinf: int = 0
    """Elements that are +Inf: complex ones with no NaN part and a +Inf one."""

    neginf: int = 0
    """Elements that are -Inf: complex ones with no NaN and no +Inf part and a -Inf one."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.nan + self.posinf + self.neginf


@dataclass(frozen=True, slots=True)
class Finding:
    """What a health check has to say about one step."""

    check: str
    """Name of the check."""

    severity: Severity
    """How bad: ``"info"``, ``"warning"`` or ``"critical"``."""

    message: str
    """What was seen, with its numbers."""

    recommendation: str
    """What to do about it, in words."""

    parameters: tuple[str, ...] = ()
    """Names of the parameters concerned; empty if it is about all."""

    values: Mapping[str, float] = field(default_factory=dict)
    """The numbers behind the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of one step.  Plain numbers, so it may be kept for as long as one likes.

    After a step on a device they may still be on their way: reading the first one waits for them.
    """

    step: int
    """Calls of this guard before this one."""

    norm: float
    """Euclidean norm of the gradients as the optimizer would see them without clipping: after
    repair; of the finite elements if the step is skipped; NaN or infinite if the policy lets such
    elements through."""

    clipped_norm: float
    """The norm after clipping; equal to ``norm`` where nothing was clipped."""

    scale: float
    """The factor that clipping applied, the smallest if there are several; 1 for none."""

    clipped: bool
    """True if a strategy's bound changed a gradient."""

    nonfinite: Counts
    """Non-finite elements found in gradients, before repair."""

    repaired: int
    """How many elements were given other values, of gradients and of parameters looked at."""

    skipped: bool
    """True if the optimizer was not allowed to step."""

    restored: bool = False
    """True if parameters and optimizer state were rolled back."""

    loss: float | None = None
    """The loss, if it was given."""

    parameters: Sequence[ParameterReport] = ()
    """A row a parameter, in the order of the model."""

    first_nonfinite: str | None = None
    """The parameter whose gradient went bad first: gradients flow from the last parameter of the
    model to the first, so it is the last one, in model order, with a non-finite element."""

    last_clean: str | None = None
    """The parameter after it in model order, whose gradient was computed just before; None if there
    is none, or nothing is non-finite."""

    nonfinite_ranks: str | None = None
    """Ranks on which something is not finite, as in ``"1"`` or ``"0, 3"``; None if nothing is, and
    where one process decides for itself."""

    unlike_ranks: str | None = None
    """Ranks whose gradients, all finite, are copies of those of a lower rank and yet other numbers,
    as in ``"1, 3"``: their joint norm differs by more than 1e-6, or 8 units in the last place of a
    16-bit dtype.  None if there is none, and where one process decides for itself."""

    nonfinite_parameters: Counts = Counts()
    """Non-finite elements of the parameters themselves; zeros unless they were looked at."""

    loss_scale: float | None = None
    """What the loss was multiplied by in mixed precision; gradients are reported without it."""

    scaled_by_optimizer: bool = False
    """True if clipping was left to the optimizer, which saves a pass: torch's fused SGD, Adam,
    AdamW and Adagrad divide large float32 gradients on the CPU by ``1 / scale``, rounded to
    float32, while they step.  After that ``.grad`` is clipped, with a relative error of 1.2e-7."""

    findings: tuple[Finding, ...] = ()
    """What the health checks had to say, in the order of the checks."""

    healthy: bool = True
    """True if gradients, loss and what was seen of parameters are finite and no check warns."""

    stability: float = 1.0
    """How undisturbed the step was, from 0 to 1, which is: nothing happened.

    ``f^4 * sqrt(clipped_norm / norm)``, with f the finite share of elements, and ``scale`` for the
    ratio where the norm is not finite; halved for a skip, or quartered for a restore; 0 if the loss
    is not finite."""

    def to_dict(self) -> dict[str, Any]:
        """Every field as plain numbers, strings, lists and dicts."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        counts = {name: fields[name] for name in ("nonfinite", "nonfinite_parameters")}
        return {
            **fields,
            **{name: asdict(count) | {"total": count.total} for name, count in counts.items()},
            "parameters": [asdict(row) for row in self.parameters],
            "findings": [asdict(finding) for finding in self.findings],
        }

    def __str__(self) -> str:
        """One line for a log."""
        parts = [f"norm {self.norm:.3g}"]
        if self.clipped:
            parts[0] += f" -> {self.clipped_norm:.3g}"
        if self.loss is not None:
            parts.append(f"loss {self.loss:.4g}")
        if self.nonfinite.total:
            first = printable(str(self.first_nonfinite))
            parts.append(f"{self.nonfinite.total} non-finite, first in {first}")
        if self.nonfinite_parameters.total:
            parts.append(f"{self.nonfinite_parameters.total} non-finite in parameters")
        if self.nonfinite_ranks is not None:
            parts.append(f"on rank {self.nonfinite_ranks}")
        if self.unlike_ranks is not None:
            parts.append(f"other gradients on rank {self.unlike_ranks}")
        if self.repaired:
            parts.append(f"{self.repaired} repaired")
        if self.skipped:
            parts.append("skipped")
        if self.restored:
            parts.append("restored")
        return f"step {self.step}: " + ", ".join(parts)

    def summary(self) -> str:
        """Several lines: what `__str__` says, the worst parameters, and the findings."""
        lines = [str(self), f"  stability {self.stability:.2f}"]
        bad = [row for row in self.parameters if row.nan or row.posinf or row.neginf]
        lines += [
            f"  {printable(row.name)}: {row.nan} NaN, {row.posinf} +Inf, {row.neginf} -Inf of "
            f"{row.numel}"
            for row in bad[:LISTED]
        ]
        if len(bad) > LISTED:
            lines.append(f"  and {len(bad) - LISTED} parameters more")
        lines += [line for finding in self.findings for line in _told(finding)]
        return "\n".join(lines)


def _told(finding: Finding) -> list[str]:
    """A finding, and below it what to do, in lines that fit a terminal."""
    said = printable(f"{finding.severity}: {finding.message} [{finding.check}]")
    return [
        *textwrap.wrap(said, WIDTH, initial_indent="  ", subsequent_indent="    "),
        *textwrap.wrap(
            printable(finding.recommendation),
            WIDTH,
            initial_indent="    -> ",
            subsequent_indent="       ",
        ),
    ]
