"""The sink `log` writes to the standard library's logging."""

from __future__ import annotations

import logging

import pytest

import reports
from gradcore import Finding
from gradcore.sinks import Log


def test_a_report_is_one_line_of_the_level_asked_for(caplog):
    caplog.set_level(logging.DEBUG)

    Log()(reports.report(step=3, norm=2.5))
    Log("training.gradients", "debug")(reports.report(step=4, norm=2.5))
    Log(level=35)(reports.report(step=5, norm=2.5))
    assert caplog.record_tuples == [
        ("gradcore", logging.INFO, "step 3: norm 2.5"),
        ("training.gradients", logging.DEBUG, "step 4: norm 2.5"),
        ("gradcore", 35, "step 5: norm 2.5"),
    ]


@pytest.mark.parametrize("severity", ["info", "warning", "critical"])
def test_a_finding_is_a_line_of_its_severity(caplog, severity):
    caplog.set_level(logging.INFO)
    finding = Finding("spike", severity, "The norm is 40 times the median.", "Clip.")

    Log()(reports.report(step=7, findings=(finding,)))
    (record,) = [record for record in caplog.records if "spike" in record.getMessage()]
    assert record.levelname == severity.upper()
    assert record.getMessage() == "step 7: spike: The norm is 40 times the median. Clip."


@pytest.mark.parametrize("level", ["loud", ""])
def test_an_unknown_level_is_refused(level):
    with pytest.raises(ValueError, match=f"level must be one of .* got '{level}'"):
        Log(level=level)


def test_hostile_names_stay_within_their_line_and_move_no_cursor(caplog):
    """Such as a parameter's: whoever reads a log would take the rest for a line of its own."""
    name = "x\nCRITICAL gradcore: all is well\x1b[2J"
    caplog.set_level(logging.INFO)
    finding = Finding("dead\r", "warning", f"The gradient of {name} is 0.", f"Thaw {name}.")

    Log()(reports.report(step=7, first_nonfinite=name, findings=(finding,)))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    escaped = r"x\nCRITICAL gradcore: all is well\x1b[2J"
    assert lines[1] == rf"step 7: dead\r: The gradient of {escaped} is 0. Thaw {escaped}."
