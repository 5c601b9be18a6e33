"""Values of a report as strict JSON and back, by the annotations of its fields.

JSON has no NaN and no infinity, so they are the strings ``"NaN"``, ``"Infinity"`` and
``"-Infinity"``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Final, TypeVar, get_args

from gradcore.report import Counts, Finding, Severity

WORDS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

LARGEST: Final = 1 << 53
"""Whole numbers up to this one are exact in float64, in which a history keeps them."""

Made = TypeVar("Made")


def number_to_json(value: float) -> float | str:
    """A number, or the word for one that JSON does not have."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def object_to_json(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name."""
    return {
        field.name: TO_JSON[str(field.type)](getattr(value, field.name)) for field in fields(value)
    }


def object_from_json(cls: type[Made], plain: Any) -> Made:
    """A dataclass from its fields; those not told have their defaults, unknown ones are passed by.

    Raises:
        ValueError: A field is missing, or is not what it should be.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"expected an object; got {plain!r:.40}")  # noqa: TRY004 - of the file
    values = {}
    for field in fields(cls):  # type: ignore[arg-type]  # made of dataclasses alone
        if field.name in plain:
            try:
                values[field.name] = FROM_JSON[str(field.type)](plain[field.name])
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{field.name}: {error}") from None
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{field.name!r} is missing")
    return cls(**values)


def whole(value: Any) -> int:
    """An int of at most 2^53."""
    if type(value) is not int or abs(value) > LARGEST:
        raise ValueError(f"expected a whole number of at most 2^53; got {value!r:.40}")
    return value


def number(value: Any) -> float:
    """A float; the words for those that JSON does not have are understood."""
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]
    raise ValueError(f"expected a number; got {value!r:.40}")


def _exactly(kind: type[Made]) -> Callable[[Any], Made]:
    def check(value: Any) -> Made:
        if type(value) is not kind:
            raise ValueError(f"expected a {kind.__name__}; got {value!r:.40}")
        return value

    return check


def _or_none(do: Callable[[Any], Made]) -> Callable[[Any], Made | None]:
    return lambda value: None if value is None else do(value)


def _severity(value: Any) -> Severity:
    for severity in get_args(Severity):
        if value == severity:
            return severity  # type: ignore[no-any-return]  # get_args does not tell
    raise ValueError(f"expected one of {', '.join(get_args(Severity))}; got {value!r:.40}")


def _list_of(do: Callable[[Any], Made]) -> Callable[[Any], tuple[Made, ...]]:
    def check(values: Any) -> tuple[Made, ...]:
        if not isinstance(values, list):
            raise ValueError(f"expected a list; got {values!r:.40}")  # noqa: TRY004 - of the file
        return tuple(do(value) for value in values)

    return check


def _numbers_by_name(plain: Any) -> Mapping[str, float]:
    if not isinstance(plain, dict):
        raise ValueError(f"expected an object; got {plain!r:.40}")  # noqa: TRY004 - of the file
    return {name: value if type(value) is int else number(value) for name, value in plain.items()}


def _numbers_to_json(values: Mapping[str, float]) -> dict[str, float | str]:
    return {
        str(name): value if isinstance(value, int) else number_to_json(float(value))
        for name, value in values.items()
    }


def _list_to_json(do: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    return lambda values: [do(value) for value in values]


_float_to_json: Callable[[Any], float | str] = lambda value: number_to_json(float(value))  # noqa: E731

TO_JSON: Final[Mapping[str, Callable[[Any], Any]]] = {
    "int": int,
    "float": _float_to_json,
    "bool": bool,
    "str": str,
    "int | None": _or_none(int),
    "float | None": _or_none(_float_to_json),
    "str | None": _or_none(str),
    "Counts": object_to_json,
    "Severity": str,
    "tuple[str, ...]": _list_to_json(str),
    "Mapping[str, float]": _numbers_to_json,
    "tuple[Finding, ...]": _list_to_json(object_to_json),
}

FROM_JSON: Final[Mapping[str, Callable[[Any], Any]]] = {
    "int": whole,
    "float": number,
    "bool": _exactly(bool),
    "str": _exactly(str),
    "int | None": _or_none(whole),
    "float | None": _or_none(number),
    "str | None": _or_none(_exactly(str)),
    "Counts": lambda plain: object_from_json(Counts, plain),
    "Severity": _severity,
    "tuple[str, ...]": _list_of(_exactly(str)),
    "Mapping[str, float]": _numbers_by_name,
    "tuple[Finding, ...]": _list_of(lambda plain: object_from_json(Finding, plain)),
}
