"""The words of a page: they are there without a script, and before anything is drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from gradcore.page.escaping import text
from gradcore.page.thinning import MOST
from gradcore.page.verdict import verdict
from gradcore.runs.placing import meaning

if TYPE_CHECKING:
    from gradcore.runs import Found, Run, Streak

__all__ = ["events", "findings", "notes", "tiles", "verdict"]

LISTED: Final = 100
"""Findings and events that are listed at most."""

NAMED: Final = 5
"""Parameters that are named of a finding."""


def tiles(run: Run) -> str:
    """The summary, a number each."""
    summary = run.summary
    seen = int(summary["steps_seen"])
    norm = summary["p50_norm"]
    shown = (
        ("steps", f"{seen:,}"),
        ("median norm", "unknown" if math.isnan(norm) else f"{norm:.3g}"),
        ("largest norm", "unknown" if math.isnan(norm) else f"{summary['max_norm']:.3g}"),
        ("clipped", f"{summary['clip_rate']:.1%}"),
        ("not finite", f"{summary['nonfinite_rate']:.1%}"),
        ("skipped", f"{summary['skip_rate']:.1%}"),
        ("elements repaired", f"{int(summary['repaired_elements']):,}"),
        ("unhealthy steps", f"{int(summary['unhealthy_steps']):,}"),
    )
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in shown)


def findings(run: Run) -> str:
    """What the health checks found, the worst first."""
    if not run.findings:
        return (
            "<p>Nothing. If the guard of this run had no checks, nothing could be found: "
            "<code>Guard(…, checks=&quot;default&quot;)</code> has them.</p>"
        )
    listed = "".join(map(_finding, run.findings[:LISTED]))
    return f"<ol class='cards'>{listed}</ol>{_rest(len(run.findings))}"


def _finding(found: Found) -> str:
    said = found.finding
    names = [name for name, _ in found.parameters.most_common(NAMED)]
    more = len(found.parameters) - len(names)
    about = ", ".join(f"<code>{text(name)}</code>" for name in names)
    about += f" and {more} more" if more > 0 else ""
    return (
        f"<li class='{text(said.severity)}'><h3>{text(said.severity)}: {text(said.check)}</h3>"
        f"<p>{text(said.message)} (step {found.step})</p>"
        f"<p><strong>What to do:</strong> {text(said.recommendation)}</p>"
        + (f"<p class='names'>{about}</p>" if about else "")
        + f"<p>{_times(found.times)}: {_zoom(found.first, found.last)}</p></li>"
    )


def events(run: Run) -> str:
    """Where something was not finite, skipped or rolled back."""
    if not run.streaks:
        return "<p>None: every step was finite, and none was skipped.</p>"
    rows = "".join(map(_event, run.streaks[:LISTED]))
    return (
        "<div class='scroll'><table><thead><tr><th>Steps</th><th>What</th><th>First non-finite"
        f"</th><th>Clean just before</th></tr></thead><tbody>{rows}</tbody></table></div>"
        + _rest(len(run.streaks))
    )


def _event(streak: Streak) -> str:
    counts = (
        (streak.nan, "NaN"),
        (streak.posinf, "+Inf"),
        (streak.neginf, "-Inf"),
        (streak.parameters, "non-finite in parameters"),
        (streak.repaired, "repaired"),
    )
    done = ((streak.skipped, "skipped"), (streak.restored, "rolled back"))
    what = [f"{count:,} {name}" for count, name in counts if count]
    if streak.losses:
        what.append("loss not finite" + (f" {_times(streak.losses)}" if streak.steps > 1 else ""))
    of = f" of {streak.steps:,} steps" if streak.steps > 1 else ""
    what += [f"{count:,}{of} {name}" if of else name for count, name in done if count]
    cells = (streak.first_nonfinite, streak.last_clean)
    names = "".join(f"<td>{'' if n is None else f'<code>{text(n)}</code>'}</td>" for n in cells)
    return f"<tr><td>{_zoom(streak.first, streak.last)}</td><td>{', '.join(what)}</td>{names}</tr>"


def notes(run: Run) -> str:
    """What was left out of what is drawn."""
    said = []
    steps = len(run.arrays["step"])
    if steps > MOST:
        said.append(
            f"Curves: of {steps:,} steps the lowest and highest points of each of 2,000 stretches."
        )
    if run.grid is None:
        said.append("The reports tell nothing of single parameters, so there is no map of them.")
    else:
        grid = run.grid
        said.append(
            f"Map: {grid.parameters:,} parameters, {grid.steps:,} steps of {steps:,} in the log"
            + (f"; {meaning(grid)}." if meaning(grid) else ".")
            + " Colours tell apart the middle 99 % of the norms; beyond they are those of the ends."
        )
    dropped = int(run.summary["steps_seen"]) - steps
    if dropped:
        said.append(f"{dropped:,} earlier steps are counted above and are not in the log.")
    return "".join(f"<li>{text(each)}</li>" for each in said)


def _zoom(first: int, last: int) -> str:
    words = f"step {first}" if first == last else f"steps {first} to {last}"
    return (
        f"<button type='button' class='zoom' data-from='{first}' data-to='{last}'>{words}</button>"
    )


def _times(times: int) -> str:
    return "once" if times == 1 else f"{times:,} times"


def _rest(count: int) -> str:
    return f"<p>And {count - LISTED:,} more.</p>" if count > LISTED else ""
