"""What someone who has one minute has to know: which layer, when, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcore.page.escaping import text

if TYPE_CHECKING:
    from gradcore.runs import Run, Streak


def verdict(run: Run) -> str:
    """The worst that happened, in a few sentences."""
    broken = [streak for streak in run.streaks if _nonfinite(streak)]
    if broken:
        return _broken(run, broken)
    grave = [found for found in run.findings if found.finding.severity != "info"]
    if grave:
        said = grave[0].finding
        return _box(
            said.severity,
            f"{said.severity}: {said.check}",
            f"{text(said.message)} First at step {grave[0].first}.",
            text(said.recommendation),
        )
    steps = len(run.arrays["step"])
    return _box("good", "Nothing wrong was seen", f"{steps:,} steps, all of them finite.", "")


def _broken(run: Run, broken: list[Streak]) -> str:
    last = broken[-1]
    until_the_end = last.last >= run.arrays["step"][-1]
    worst = last if until_the_end and last.steps > 1 else max(broken, key=lambda s: s.steps)
    steps = f"{worst.steps:,} steps" if worst.steps > 1 else "one step"
    ended = ", to the end of the log" if worst is last and until_the_end else ""
    words = f"From step {worst.first} on, for {steps}{ended}, something was not finite."
    if worst.first_nonfinite is not None:
        words += f" <code>{text(worst.first_nonfinite)}</code> went bad first."
    elif worst.losses:
        words += " The loss was not finite."
    if worst.last_clean is not None:
        words += (
            f" <code>{text(worst.last_clean)}</code>, whose gradient was computed just before, was "
            "still clean: the fault lies between the two."
        )
    others = len(broken) - 1
    if others:
        more = "was one more such event" if others == 1 else f"were {others:,} more such events"
        words += f" There {more}, listed below."
    title = f"Broke at step {worst.first}" if ended else f"Not finite at step {worst.first}"
    return _box("critical", title, words, _advice(run))


def _advice(run: Run) -> str:
    """What a check recommends about non-finite gradients, or what anyone could do."""
    for found in run.findings:
        if "nonfinite" in found.finding.check:
            return text(found.finding.recommendation)
    return (
        "Train one batch of that step under <code>gradcore.monitors.trace_nonfinite(model)</code>: "
        "it names the module that turned non-finite first, and what went into it."
    )


def _nonfinite(streak: Streak) -> bool:
    return bool(streak.nan or streak.posinf or streak.neginf or streak.losses or streak.parameters)


def _box(severity: str, title: str, words: str, advice: str) -> str:
    todo = f"<p><strong>What to do:</strong> {advice}</p>" if advice else ""
    return f"<div class='verdict {text(severity)}'><h2>{text(title)}</h2><p>{words}</p>{todo}</div>"
