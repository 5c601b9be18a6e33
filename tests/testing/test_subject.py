"""Names, descriptions and options are what users can work with, whatever is under test."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import gradcore
from gradcore import GradcoreError, Keep
from gradcore.testing import (
    ConformanceError,
    check_health,
    check_policy,
    check_sink,
    check_strategy,
)

CHECKS = (check_strategy, check_policy, check_health, check_sink)


class Good:
    """Do nothing."""

    name = "good"

    def __init__(self, times=2.0, count=3, *, softly=True, path="-"):
        if not times > 0:
            raise ValueError(f"times must be greater than 0; got {times}.")
        if not isinstance(count, int):
            raise TypeError(f"count must be a whole number; got {count}.")

    def __call__(self, statistics):
        return Keep()


def without_words(statistics):
    return Keep()


@dataclass(frozen=True)
class Generated:
    name = "generated"
    times: int | None = None

    def __call__(self, statistics):
        return Keep()


class Unchecked(Good):
    """Check nothing."""

    def __init__(self, times=2.0):
        pass


class Nameless(Good):
    """Check without saying what."""

    def __init__(self, times=2.0):
        if not times > 0:
            raise ValueError("must be greater than 0")


class Crashes(Good):
    """Check by accident."""

    def __init__(self, times=2.0):
        int("2" * int(times > 0))
        int(times + 1e300) / int(times < 1e300)


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        (type("Made", (Good,), {"__doc__": None}), "docstring is a sentence.*''"),
        (type("Made", (Good,), {"__doc__": "Keep\nit."}), "docstring is a sentence.*'Keep'"),
        (Generated, "docstring is a sentence"),
        (type("Made", (Good,), {"__doc__": "Keep.", "name": "Loud"}), "has a `name`.*Loud"),
        (type("Made", (Good,), {"__doc__": "Keep.", "name": None}), "has a `name`.*None"),
        (lambda: without_words, "has a `name`"),
        (Unchecked, "Options are checked.*Given times=nan: was taken"),
        (Nameless, "a ValueError that names the one.*raised ValueError: must be"),
        (Crashes, "Options are checked.*times=nan"),
        (type("Made", (), {"__doc__": "Keep.", "name": "a"}), "Instances are callable"),
    ],
)
@pytest.mark.parametrize("check", CHECKS)
def test_what_users_cannot_work_with_is_refused(check, offered, words):
    with pytest.raises(ConformanceError, match=f"(?s){words}"):
        check(offered)


def test_options_are_given_to_each_that_is_made():
    with pytest.raises(
        ConformanceError, match=r"made of its options.*\{'times': -1\.0\}: raised ValueError"
    ):
        check_strategy(Good, times=-1.0)


def test_what_is_given_counts_as_an_option_too():
    class Open(Good):
        """Take anything by name."""

        def __init__(self, **options):
            pass

    check_strategy(Open)
    with pytest.raises(ConformanceError, match="speed=nan"):
        check_strategy(Open, speed=1.0)


@pytest.mark.parametrize("check", CHECKS)
def test_an_instance_is_no_class(check):
    with pytest.raises(TypeError, match="Give the class of a .*or a function that makes one"):
        check(Good())


def test_a_broken_rule_is_a_failed_assertion_and_an_error_of_gradcore():
    assert issubclass(ConformanceError, AssertionError)
    assert issubclass(ConformanceError, GradcoreError)


def test_the_kit_is_not_imported_with_the_package():
    assert not hasattr(gradcore, "ConformanceError")
