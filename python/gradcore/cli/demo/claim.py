"""What the demo claims, checked against what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gradcore.cli.demo.faults import SPIKE, Fault, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gradcore.cli.demo.outcome import Run
    from gradcore.report import Report

TOLERANCE: Final = 0.05
"""How far gradcore's final loss may lie from the undisturbed one, as a share of that."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the claim holds, and in what words."""

    holds: bool
    torch: str
    gradcore: str


def found(run: Run) -> list[Fault]:
    """Return the planted faults that the run's reports show where they were planted."""
    seen = {fault.step: fault for fault in run.planted if fault.step < len(run.reports)}
    return [fault for fault in seen.values() if _shows(run.reports[fault.step], fault, run.sizes)]


def _shows(report: Report, fault: Fault, sizes: Mapping[str, int]) -> bool:
    """Whether a report shows the right kind and amount, in the right parameter.

    A spike is finite: it is found if the parameter's norm shows it and clipping bounded it.
    """
    name = fault.parameter(tuple(sizes))
    counts = report.nonfinite
    if fault.kind is Kind.SPIKE:
        norm = next(row.norm for row in report.parameters if row.name == name)
        spiked = norm is not None and norm > SPIKE / 2
        return counts.total == 0 and spiked and report.clipped
    expected = {
        Kind.NAN: (1, 0, 0),
        Kind.INF: (0, 1, 0) if fault.sign > 0 else (0, 0, 1),
        Kind.TENSOR: (sizes[name], 0, 0),
    }
    found = (counts.nan, counts.posinf, counts.neginf)
    return found == expected[fault.kind] and report.first_nonfinite == name


def judge(undisturbed: Run, torch: Run, gradcore: Run) -> Verdict:
    """Compare the three runs."""
    difference = gradcore.after / undisturbed.after - 1.0
    if gradcore.stopped:
        holds, said = False, f"gradcore ended the run: {gradcore.stopped}"
    elif not gradcore.alive:
        holds, said = False, f"gradcore's run died: {_state(gradcore)}"
    else:
        holds = abs(difference) <= TOLERANCE
        said = (
            f"gradcore's run lived: loss {gradcore.after:.3f}, {_percent(difference)} the"
            f" {undisturbed.after:.3f} of the undisturbed one"
            + ("." if holds else f": more than the {TOLERANCE:.0%} this demo allows.")
        )
    return Verdict(holds, _words_on_torch(torch), said)


def _words_on_torch(run: Run) -> str:
    if not run.planted:
        return "No fault was planted, so torch's run had nothing to survive."
    if run.alive:
        return f"torch's run survived the same faults ({len(run.planted)}): loss {run.after:.3f}."
    return f"torch's run died: {_state(run)}"


def _state(run: Run) -> str:
    """Say how much of the model is lost, since when, and of what."""
    lost = (
        f"{run.nonfinite_parameters:,} of the model's {sum(run.sizes.values()):,} numbers are NaN"
        " or infinite"
    )
    first = next((n for n, loss in enumerate(run.losses) if not math.isfinite(loss)), None)
    if first is None:
        return f"{lost}."
    since = f"{lost}, its loss from step {first} on"
    before = [fault for fault in run.planted if fault.step < first]
    if not before:
        return f"{since}."
    last = before[-1]
    where = last.parameter(tuple(run.sizes))
    return f"{since}; planted at step {last.step}: {last.kind.value} in {where!r}."


def _percent(difference: float) -> str:
    side = "above" if difference >= 0 else "below"
    return f"{abs(difference):.1%} {side}"
