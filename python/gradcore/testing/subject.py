"""What is under test: how it is made, what it is called, and how a broken rule is worded."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from gradcore.discovery import NAME, WORDS, Kind, Offer, Source
from gradcore.errors import GradcoreError


class ConformanceError(GradcoreError, AssertionError):
    """A strategy, policy, check or sink broke a rule; says which one, and with what input."""


class Subject:
    """A class, or a function that makes an instance, with options.

    Args:
        kind: What it offers.
        offered: The class or function.
        options: What each instance is made with.

    Raises:
        TypeError: It is an instance.
    """

    def __init__(self, kind: Kind, offered: Callable[..., Any], options: Mapping[str, Any]) -> None:
        if not (inspect.isclass(offered) or inspect.isroutine(offered)):
            raise TypeError(
                f"Give the class of a {WORDS[kind]}, or a function that makes one, and its options "
                f"by name, so that several can be made; got {offered!r}."
            )
        self.kind = kind
        self.options = options
        self._offered = offered

    def make(self) -> Any:
        """One more of it."""
        try:
            return self._offered(**self.options)
        except Exception as error:
            raise self.broken("It can be made of its options.", "its options", error) from error

    def broken(self, rule: str, given: object, what: object) -> ConformanceError:
        """The error that says which rule was broken, given what, by doing what."""
        if isinstance(what, BaseException):
            what = f"raised {type(what).__name__}: {what}"
        if self.options:
            given = f"{given}, made with {dict(self.options)}"
        title, done = WORDS[self.kind].capitalize(), str(what).rstrip(".")
        return ConformanceError(
            f"{title} {self._offered.__qualname__} breaks a rule: {rule} Given {given}: {done}."
        )

    def check_words(self) -> None:
        """Its name, its description and its options are what users can work with."""
        made = self.make()
        if not callable(made):
            raise self.broken("Instances are callable.", "an instance", f"is {made!r}")
        name = getattr(made, "name", None)
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise self.broken(
                "It has a `name` of lower-case letters, digits and underscores.", "its class", name
            )
        summary = Offer(self.kind, name, self._offered, Source("", "", "")).summary
        generated = summary.startswith(f"{self._offered.__name__}(")  # by `dataclass`
        if generated or not summary.endswith("."):
            raise self.broken(
                "The first line of its docstring is a sentence, which `gradcore plugins` shows.",
                "its docstring",
                repr("" if generated else summary),
            )
        release(made)
        self._check_options()

    def _check_options(self) -> None:
        """Whatever is a number may not be NaN."""
        signature = inspect.signature(self._offered)
        defaults = {key: option.default for key, option in signature.parameters.items()}
        for option, value in {**defaults, **self.options}.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            rule = "Options are checked when they are given, with a ValueError that names the one."
            given = f"{option}={math.nan}"
            try:
                self._offered(**{**self.options, option: math.nan})
            except (TypeError, ValueError) as error:
                if option not in str(error):
                    raise self.broken(rule, given, error) from error
            except Exception as error:
                raise self.broken(rule, given, error) from error
            else:
                raise self.broken(rule, given, "was taken")


def release(made: object) -> None:
    """Let go of files that an instance may have opened."""
    with suppress(Exception):  # whether it can be closed is a rule of its own
        getattr(made, "close", lambda: None)()
