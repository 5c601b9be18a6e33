"""Every field of a report has a form in strict JSON, and comes back from it."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

import gradcore
from gradcore.logfile.values import FROM_JSON, TO_JSON, object_from_json, object_to_json
from gradcore.parameter_table import ParameterReport


@pytest.mark.parametrize(
    "field",
    [
        field
        for cls in (gradcore.Report, ParameterReport, gradcore.Finding, gradcore.Counts)
        for field in dataclasses.fields(cls)
        if field.name != "parameters" or cls is not gradcore.Report
    ],
    ids=lambda field: field.name,
)
def test_the_type_of_every_field_is_known(field):
    """Of one that is added with another annotation this tells, instead of a run in production."""
    assert str(field.type) in TO_JSON
    assert str(field.type) in FROM_JSON


@pytest.mark.parametrize(
    ("number", "words"),
    [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (0.1, 0.1), (3.0, 3.0)],
)
def test_numbers_that_json_lacks_are_words(number, words):
    written = TO_JSON["float"](number)

    assert written == words
    assert repr(FROM_JSON["float"](json.loads(json.dumps(written, allow_nan=False)))) == repr(
        number
    )


@pytest.mark.parametrize("value", ["nan", "inf", "1.0", "", None, True, [], {}, 10**400])
def test_what_is_no_number_is_refused(value):
    with pytest.raises((ValueError, OverflowError)):
        FROM_JSON["float"](value)


@pytest.mark.parametrize("value", [1.0, "1", True, None, 2**53 + 1, -(2**60)])
def test_what_is_no_whole_number_or_a_huge_one_is_refused(value):
    with pytest.raises(ValueError, match="whole number"):
        FROM_JSON["int"](value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bool", 1),
        ("str", 1),
        ("str | None", 0),
        ("Counts", 3),
        ("Severity", "fatal"),
        ("Severity", []),
        ("tuple[str, ...]", "abc"),
        ("tuple[Finding, ...]", {}),
        ("Mapping[str, float]", [1.0]),
        ("Mapping[str, float]", {"a": "b"}),
    ],
)
def test_other_values_of_the_wrong_kind_are_refused(kind, value):
    with pytest.raises(ValueError, match="expected"):
        FROM_JSON[kind](value)


def test_a_field_that_is_missing_has_its_default_or_is_an_error_that_names_it():
    plain = object_to_json(gradcore.Finding("spike", "info", "Up.", "Wait.", values={"z": 3}))
    del plain["parameters"]
    assert object_from_json(gradcore.Finding, plain).parameters == ()

    del plain["message"]
    with pytest.raises(ValueError, match="'message' is missing"):
        object_from_json(gradcore.Finding, plain)


def test_an_error_names_the_field():
    with pytest.raises(ValueError, match="posinf: expected a whole number .* got 'many'"):
        object_from_json(gradcore.Counts, {"posinf": "many"})
