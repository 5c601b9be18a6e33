"""What an `Encoder` writes, a `Decoder` reads, whatever is in a report."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import reports
from gradcore import LogError
from gradcore.logfile import Decoder, Encoder
from gradcore.tally import Tally

ABC = ["a", "b", "c"]


def lines(*given_reports, **options):
    """The objects of a log of these reports."""
    encoder = Encoder(**options)
    text = encoder.run() + "".join(encoder.step(report) for report in given_reports)
    return [json.loads(line) for line in text.splitlines()]


@given(st.lists(reports.reports, max_size=3))
def test_a_report_comes_back_with_every_bit(given_reports):
    """Also fields that are added to the class later: they are made by their annotations."""
    encoder, decoder = Encoder(), Decoder("run.jsonl")
    text = encoder.run() + "".join(encoder.step(report, time=1.5) for report in given_reports)

    read = [decoder(line.encode()) for line in text.splitlines()]
    got = [report for report in read if report is not None]
    assert [reports.plain(report) for report in got] == [reports.plain(r) for r in given_reports]
    assert decoder.time == (1.5 if got else None)


@given(reports.reports)
def test_a_line_is_strict_json_in_ascii(report):
    def refuse(word):
        raise AssertionError(word)

    text = Encoder().step(report)
    assert text.isascii()
    for line in text.splitlines():
        json.loads(line, parse_constant=refuse)


def test_the_first_line_tells_format_and_version():
    (run,) = lines()

    assert (run["type"], run["format"], run["version"]) == ("run", "gradcore.log", 1)


def test_names_are_written_once_and_again_when_they_change():
    abc = reports.report(parameters=reports.table(ABC, [1.0, 2.0, 3.0]))
    ab = reports.report(parameters=reports.table(ABC[:2], [1.0, 2.0]))

    kinds = [line["type"] for line in lines(abc, abc, ab, reports.report(), ab, abc)]
    assert kinds == [
        "run", "parameters", "step", "step", "parameters", "step", "step", "step", "parameters",
        "step",
    ]  # fmt: skip


def test_a_column_of_one_value_is_that_value():
    table = reports.table(ABC, [2.0, 2.0, 2.0], nan=[0, 0, 7])

    *_, step = lines(reports.report(parameters=table))
    assert step["parameters"]["norm"] == 2.0
    assert step["parameters"]["max_abs"] is None
    assert step["parameters"]["nan"] == [0, 0, 7]
    assert "numel" not in step["parameters"]


def test_zeros_of_both_signs_are_not_one_value():
    table = reports.table(ABC, [1.0] * 3, mean=[0.0, -0.0, 0.0])

    *_, step = lines(reports.report(parameters=table))
    assert str(step["parameters"]["mean"]) == "[0.0, -0.0, 0.0]"


def test_elements_are_told_again_only_in_steps_in_which_they_differ():
    """A parameter without a gradient in one step has no elements there."""
    whole = reports.report(parameters=reports.table(ABC, [1.0] * 3, numel=[4, 5, 6]))
    lacking = reports.report(parameters=reports.table(ABC, [1.0] * 3, numel=[4, None, 6]))

    _, parameters, *steps = lines(whole, lacking, whole)
    assert parameters["numel"] == [4, 5, 6]
    assert [step["parameters"].get("numel") for step in steps] == [None, [4, None, 6], None]


def test_numbers_of_parameters_are_rounded_if_so_asked_and_others_never():
    table = reports.table(ABC, [1 / 3, 2 / 3, math.nan])

    *_, step = lines(reports.report(norm=1 / 3, parameters=table), digits=3)
    assert step["parameters"]["norm"] == [0.333, 0.667, "NaN"]
    assert step["norm"] == 1 / 3


def decode(*objects):
    decoder = Decoder("run.jsonl")
    for one in objects:
        decoder(one if isinstance(one, bytes) else json.dumps(one).encode())
    return decoder


def test_steps_that_are_not_in_the_log_are_told_at_its_start():
    run = json.loads(Encoder().run(before=Tally(steps=7, clipped=3)))

    assert decode(run).before == Tally(steps=7, clipped=3)


def test_a_line_of_an_unknown_type_and_unknown_keys_are_passed_by():
    run, step = lines(reports.report())

    decoder = decode(run, {"type": "weather", "sun": True})
    assert decoder(json.dumps({**step, "mood": "good"}).encode()).norm == 1.0


RUN, PARAMETERS, STEP = lines(reports.report(parameters=reports.table(ABC, [1.0, 2.0, 3.0])))


def with_column(name, column):
    return {**STEP, "parameters": {**STEP["parameters"], name: column}}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting"),
        (b"[1, 2]", "no object"),
        (b"\xff\xfe{}", "codec can't decode"),
        (b'{"type": "step", "norm": NaN}', "NaN is not JSON"),
        (b'{"step": 1}', "'type' is missing"),
        pytest.param(b"[" * 100_000, "recursion", id="deep"),
        pytest.param(b'{"step": ' + b"9" * 5000 + b"}", "digits", id="long"),
        ({"type": "step"}, "'step' is missing"),
        ({**STEP, "norm": "large"}, "norm: expected a number; got 'large'"),
        ({**STEP, "step": 2.5}, "step: expected a whole number"),
        ({**STEP, "time": "noon"}, "expected a number"),
        ({**STEP, "findings": [{"check": "x"}]}, "findings: 'severity' is missing"),
        ({**STEP, "parameters": [1]}, "parameters: expected an object"),
        (with_column("norm", [1.0]), "norm: expected 3 values; got 1"),
        (with_column("norm", [1.0, 2.0, None, 4.0]), "norm: expected 3 values; got 4"),
        (with_column("nan", [1, 2, None]), "nan: expected a whole number"),
        (with_column("scale", None), "scale: expected a number"),
        ({**PARAMETERS, "numel": [1]}, "numel: expected 3 values"),
        ({**PARAMETERS, "names": [1, 2, 3]}, "expected a str"),
        ({"type": "parameters"}, "'names' is missing"),
        ({"type": "run"}, "no format and version"),
        ({**RUN, "version": "1"}, "no format and version"),
        ({**RUN, "version": 0}, "no format and version"),
        ({**RUN, "before": {"steps": -1}}, "tally"),
        ({**RUN, "before": None}, "tally"),
    ],
    ids=str,
)
def test_damage_is_an_error_that_names_file_line_and_reason(line, why):
    with pytest.raises(LogError, match=rf"run\.jsonl, line 3 is damaged: .*{why}"):
        decode(RUN, PARAMETERS, line)


def test_rows_without_names_are_damage():
    with pytest.raises(LogError, match="line 2 is damaged: .*names of the parameters"):
        decode(RUN, STEP)


@pytest.mark.parametrize("line", [b"loss,norm", b"", STEP, PARAMETERS, {"type": "run"}, {}])
def test_another_file_is_no_log(line):
    with pytest.raises(LogError, match=r"run\.jsonl is not a log of gradcore"):
        decode(line)


def test_a_newer_version_says_what_to_do():
    newer = {**RUN, "version": 2, "gradcore": "9.1"}

    with pytest.raises(LogError, match="gradcore 9.1 in version 2 .* pip install --upgrade"):
        decode(newer)
