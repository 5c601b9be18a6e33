"""The screen shows what the runs hold, without terminal codes where there is no terminal."""

from __future__ import annotations

import math

from gradcore.cli.demo.faults import Fault, Kind
from gradcore.cli.demo.outcome import Run
from gradcore.cli.demo.show import Screen


def runs():
    faults = [Fault(0, Kind.NAN, 0.0, 0.0, 1), Fault(2, Kind.INF, 0.0, 0.0, 1)]
    undisturbed = Run("undisturbed", {"weight": 3}, 4.6, 2.25, losses=[4.5, 3.0, 2.0])
    dead = Run(
        "torch",
        {"weight": 3},
        before=4.6,
        after=math.nan,
        nonfinite_parameters=3,
        losses=[4.5, math.nan, math.nan],
        planted=faults,
    )
    return undisturbed, dead


def rows(printed):
    return {line[:38].strip(): line[38:].split() for line in printed.splitlines()}


def test_the_table_holds_the_numbers_of_the_runs(capsys):
    Screen().table(runs())

    shown = rows(capsys.readouterr().out)
    assert shown["steps"] == ["3", "3"]
    assert shown["faults planted"] == ["0", "2"]
    assert shown["an element NaN"] == ["0", "1"]
    assert shown["an element Inf or -Inf"] == ["0", "1"]
    assert shown["an element 1e25 or -1e25"] == ["0", "0"]
    assert shown["steps with a finite loss"] == ["3", "1"]
    assert shown["held-out loss after, nats/character"] == ["2.250", "NaN"]
    assert shown["model finite"] == ["yes", "no"]
    assert shown["steps skipped"] == ["-", "-"], "nobody looked"


def test_there_are_no_terminal_codes_in_a_pipe(capsys):
    screen = Screen()
    with screen.bars(["undisturbed"], steps=1) as begin:
        begin("undisturbed")(2.0)
    screen.finished(runs()[0])
    screen.table(runs())
    screen.logged(["first [bold]", "second"])

    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "undisturbed: 3 steps in 0 s\n" in out
    assert "first [bold]" in out


def test_a_terminal_gets_bars_with_the_loss(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Screen()
    with screen.bars(["undisturbed"], steps=2) as begin:
        advance = begin("undisturbed")
        advance(3.5)
        advance(2.25)

    out = capsys.readouterr().out
    assert "2/2" in out
    assert "training loss 2.25" in out


def test_nothing_is_said_of_warnings_if_there_were_none(capsys):
    Screen().logged([])

    assert capsys.readouterr().out == ""
