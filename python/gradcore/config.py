"""The options of a guard from a dict or a TOML file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from gradcore.discovery import closest
from gradcore.errors import GradcoreError
from gradcore.guard import Guard
from gradcore.stepping import OPTIONS

if TYPE_CHECKING:
    from gradcore.parameters import Target

TABLE: Final = "guard"
"""Where the options are, in a file that holds other things too."""

BY_NAME: Final = ("clip", "nonfinite", "checks", "sinks")
"""Options that may be a table: ``name``, and options of what the name stands for."""


@dataclass(frozen=True, slots=True)
class GuardConfig:
    """Options of a `Guard`, all but its target, their names checked.

    What they are is checked where a guard is made of them: only then are plugins looked at, and
    files opened.

    Example:
        >>> config = GuardConfig.from_dict({"clip": {"name": "value", "limit": 0.5}, "every": 10})
        >>> config.options["clip"]
        ('value', {'limit': 0.5})
        >>> guard = Guard.from_config(torch.nn.Linear(2, 1), config)
    """

    options: Mapping[str, Any]
    """Arguments of `Guard`, read only."""

    source: str = "a dict"
    """Where they come from, for messages: the path of a file."""

    @classmethod
    def of(cls, config: Any) -> GuardConfig:
        """Whatever `Guard.from_config` takes, as a configuration.

        Raises:
            TypeError: It is neither a `GuardConfig` nor a dict nor the path of a file.
            ValueError: As in `from_dict` and `from_toml`.
            OSError: The file cannot be read.
        """
        if isinstance(config, GuardConfig):
            return config
        if isinstance(config, Mapping):
            return cls.from_dict(config)
        if isinstance(config, (str, os.PathLike)):
            return cls.from_toml(config)
        raise TypeError(
            f"A configuration is a dict, the path of a TOML file or a GuardConfig; got {config!r}."
        )

    @classmethod
    def from_dict(cls, options: Mapping[str, Any], *, source: str = "a dict") -> GuardConfig:
        """Options under their names, or the same in a table ``guard`` beside other tables.

        Args:
            options: ``clip``, ``nonfinite``, each check and each sink is what `Guard` takes, or a
                dict of its ``name`` and its options.
            source: Where they come from, for messages.

        Raises:
            ValueError: A name is none of an option of `Guard`.
            TypeError: It is no dict, or a dict in it has no ``name``.
        """
        table = _table(options, source)
        for name in table:
            if name not in OPTIONS:
                raise ValueError(
                    f"Unknown option {name!r} in {source}."
                    f"{closest(str(name), (*OPTIONS, TABLE))} Known: {', '.join(OPTIONS)}."
                )
        read = {name: _value(name, value, source) for name, value in table.items()}
        return cls(MappingProxyType(read), source)

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> GuardConfig:
        """Options from a TOML file: see `from_dict`.  Infinity is ``inf`` there.

        Raises:
            ValueError: The file is no TOML, or as in `from_dict`.
            OSError: It cannot be read.
            TypeError: As in `from_dict`.
        """
        if sys.version_info >= (3, 11):
            import tomllib  # noqa: PLC0415 - not needed by those who have no file
        else:
            import tomli as tomllib  # noqa: PLC0415 - the same, before Python 3.11

        try:
            document = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
        except ValueError as error:  # bytes that are no UTF-8, and text that is no TOML
            raise ValueError(f"{path} is no TOML: {error}.") from error
        return cls.from_dict(document, source=str(path))

    def guard(self, target: Target, **options: Any) -> Guard:
        """Make a guard, which is what `Guard.from_config` does.

        Args:
            target: As for `Guard`.
            **options: Stand in for those of the same name, such as what cannot be in a file.

        Raises:
            UnknownPluginError: A name is not registered.
            TypeError: A value has the wrong type, or an option of a plugin is unknown.
            ValueError: A value cannot be, or the target holds nothing.
        """
        try:
            return Guard(target, **{**self.options, **options})
        except (GradcoreError, TypeError, ValueError) as error:
            told = isinstance(error, GradcoreError)
            raised = (
                type(error) if told else TypeError if isinstance(error, TypeError) else ValueError
            )
            raise raised(f"{error} The options are those of {self.source}.") from error


def _table(options: Any, source: str) -> Mapping[Any, Any]:
    """The table that holds the options."""
    table = options.get(TABLE, options) if isinstance(options, Mapping) else options
    if not isinstance(table, Mapping):
        raise TypeError(f"The options of a guard are a table of names; {source} has {table!r}.")
    outside = [name for name in options if table is not options and name in OPTIONS]
    if outside:
        raise ValueError(
            f"{outside[0]!r} stands outside the table {TABLE!r} in {source}, where it would be "
            "ignored: move it in."
        )
    return table


def _value(name: str, value: Any, source: str) -> Any:
    """The value of one option as `Guard` takes it."""
    if name not in BY_NAME:
        return value
    if isinstance(value, Mapping):
        options = dict(value)
        called = options.pop("name", None)
        if not isinstance(called, str):
            raise TypeError(
                f"{name!r} in {source} is a table without a name, which says what it is about: "
                f'add name = "..." to {dict(value)!r}.'
            )
        return (called, options)
    if isinstance(value, list):
        return [_value(name, each, source) for each in value]
    return value
