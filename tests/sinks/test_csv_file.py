"""The sink `csv` writes a table of scalars that csv readers understand."""

from __future__ import annotations

import csv
import dataclasses
import math

import pytest
from hypothesis import given

import gradcore
import reports
from gradcore import Counts, Finding, LogError
from gradcore.sinks import Csv

SKIPPED = reports.report(
    step=1,
    norm=math.inf,
    nonfinite=Counts(nan=3, posinf=2, neginf=1),
    skipped=True,
    healthy=False,
    loss=math.nan,
    first_nonfinite='odd "name", with comma',
    findings=(Finding("spike", "warning", "Up.", "Wait."), Finding("dead", "info", "0.", "Look.")),
)


def written(path, *given_reports):
    sink = Csv(path)
    for report in given_reports:
        sink(report)
    sink.close()
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_line_a_step_with_every_scalar(tmp_path):
    good, bad = written(tmp_path / "run.csv", reports.report(loss=0.25), SKIPPED)

    assert (good["step"], good["norm"], good["loss"], good["skipped"]) == ("0", "1.0", "0.25", "0")
    assert (good["first_nonfinite"], good["findings"]) == ("", "")
    assert (bad["nan"], bad["posinf"], bad["neginf"], bad["skipped"]) == ("3", "2", "1", "1")
    assert (bad["norm"], bad["loss"], bad["findings"]) == ("Infinity", "NaN", "spike dead")
    assert bad["first_nonfinite"] == 'odd "name", with comma'


def test_a_column_for_every_scalar_of_a_report(tmp_path):
    (row,) = written(tmp_path / "run.csv", reports.report())

    names = {field.name for field in dataclasses.fields(gradcore.Report)}
    assert names - {"nonfinite", "nonfinite_parameters", "parameters"} <= row.keys()


@given(reports.reports)
def test_numbers_come_back_as_they_were(tmp_path_factory, report):
    (row,) = written(tmp_path_factory.mktemp("log") / "run.csv", report)

    assert repr(float(row["norm"])) == repr(report.norm)
    assert int(row["repaired"]) == report.repaired
    assert (float(row["loss"]) if row["loss"] else None) == pytest.approx(report.loss, nan_ok=True)


def test_a_run_that_goes_on_is_appended_without_another_heading(tmp_path):
    written(tmp_path / "run.csv", reports.report(step=0))
    with (tmp_path / "run.csv").open("a") as file:
        file.write("1,2.")  # torn by a kill

    rows = written(tmp_path / "run.csv", reports.report(step=1))
    assert [row["step"] for row in rows] == ["0", "1"]


def test_another_table_is_not_appended_to(tmp_path):
    (tmp_path / "run.csv").write_text("step,loss\n0,1\n")

    with pytest.raises(LogError, match="does not begin as this log does"):
        Csv(tmp_path / "run.csv")
