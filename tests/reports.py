"""Reports of every kind, for tests of what keeps them and takes them somewhere."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

import gradcore
from gradcore.logfile import LoggedTable
from gradcore.parameter_table import ParameterReport

if TYPE_CHECKING:
    from collections.abc import Sequence

any_float = st.floats(allow_nan=True, allow_infinity=True)
whole = st.integers(0, 2**53)
word = st.text(max_size=12)
counts = st.builds(gradcore.Counts, whole, whole, whole)
findings = st.lists(
    st.builds(
        gradcore.Finding,
        check=word,
        severity=st.sampled_from(["info", "warning", "critical"]),
        message=word,
        recommendation=word,
        parameters=st.lists(word, max_size=3).map(tuple),
        values=st.dictionaries(word, any_float, max_size=3),
    ),
    max_size=3,
).map(tuple)

BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "int": whole,
    "float": any_float,
    "bool": st.booleans(),
    "str": word,
    "int | None": st.none() | whole,
    "float | None": st.none() | any_float,
    "str | None": st.none() | word,
    "Counts": counts,
    "tuple[Finding, ...]": findings,
}


def of_fields(cls: type[Any], **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects of a dataclass with any values at all in its fields, also in those added later."""
    fields = dataclasses.fields(cls)
    values = {f.name: BY_TYPE[str(f.type)] for f in fields if f.name not in given}
    return st.builds(cls, **values, **given)


tables = st.lists(of_fields(ParameterReport), max_size=4).map(tuple)
reports = of_fields(gradcore.Report, parameters=tables)


def report(step: int = 0, norm: float = 1.0, **fields: Any) -> gradcore.Report:
    """A good step, but for what is given."""
    return gradcore.Report(
        **{
            "step": step,
            "norm": norm,
            "clipped_norm": norm,
            "scale": 1.0,
            "clipped": False,
            "nonfinite": gradcore.Counts(),
            "repaired": 0,
            "skipped": False,
            **fields,
        }
    )


def table(names: Sequence[str], norms: Sequence[float], **columns: Any) -> LoggedTable:
    """Rows of parameters of one element each."""
    fields = dataclasses.fields(ParameterReport)
    values = {field.name: None for field in fields if field.name != "name"}
    plain = {"numel": 1, "nan": 0, "posinf": 0, "neginf": 0, "scale": 1.0, "norm": list(norms)}
    return LoggedTable(list(names), {**values, **plain, **columns})


def plain(given: gradcore.Report) -> str:
    """Everything in a report, so that two of them compare equal with a NaN in the same place."""
    return repr(given.to_dict())
