"""Names lead to strategies, policies, checks and sinks, or to an error that says why not."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch

import gradcore
import packages
from gradcore import (
    Keep,
    PluginConflictError,
    PluginError,
    Registry,
    UnknownPluginError,
)
from gradcore.discovery import DISABLED
from gradcore.nonfinite import Replace, Skip, Zero
from gradcore.registry import default_registry, resolve
from gradcore.strategies import GlobalNorm

CLIPS = ["global_norm", "value"]
POLICIES = [
    "adaptive",
    "detect",
    "propagate",
    "raise",
    "replace",
    "restore",
    "scale",
    "skip",
    "zero",
    "zero_parameter",
]


@pytest.fixture
def install(tmp_path, monkeypatch):
    return packages.installer(tmp_path, monkeypatch)


# Names ----------------------------------------------------------------------------------------


def test_built_in_names_are_there_without_any_plugin():
    registry = Registry(plugins=False)

    assert set(registry.names("clip")) >= set(CLIPS)
    assert set(registry.names("nonfinite")) >= set(POLICIES)


@pytest.mark.parametrize("kind", ["clip", "nonfinite", "check", "sink"])
def test_names_are_sorted(kind):
    names = Registry().names(kind)

    assert names == sorted(names)


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(
        ValueError, match=r"Unknown kind 'clips'\. Known: clip, nonfinite, check, sink"
    ):
        Registry(plugins=False).names("clips")


def test_a_plugin_stands_beside_the_built_in_ones(install):
    install("acme-clip", packages.STRATEGY.format(name="acme"))

    registry = Registry()
    assert {"acme", *CLIPS} <= set(registry.names("clip"))
    assert registry.create("clip", "acme")(None) == Keep()


def test_without_plugins_none_is_imported(install):
    module = install("acme-clip", packages.STRATEGY.format(name="acme"))

    assert "acme" not in Registry(plugins=False).names("clip")
    assert module not in sys.modules


def test_a_registry_is_filled_at_the_first_use_of_a_name_and_only_once(install):
    before = Registry()
    install("acme-clip", packages.STRATEGY.format(name="acme"))
    assert "acme" in before.names("clip")

    install("late-clip", packages.STRATEGY.format(name="late"), entry="late")
    assert "late" not in before.names("clip")
    assert "late" in Registry().names("clip")


def test_a_plugin_that_is_switched_off_is_not_imported(install, monkeypatch):
    module = install("acme-clip", packages.STRATEGY.format(name="acme"), entry="acme_entry")
    monkeypatch.setenv(DISABLED, "acme_entry")

    with pytest.raises(UnknownPluginError, match=f"Switched off by {DISABLED}: acme_entry"):
        Registry().create("clip", "acme")
    assert module not in sys.modules


def test_importing_gradcore_loads_no_plugin(install, tmp_path):
    install("loud-clip", "raise SystemExit('a plugin was imported')")

    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import gradcore",
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


# Making ---------------------------------------------------------------------------------------


def test_options_are_arguments_of_the_class():
    made = Registry(plugins=False).create("clip", "global_norm", max_norm=2.0, norm_type=math.inf)

    assert made == GlobalNorm(max_norm=2.0, norm_type=math.inf)


def test_options_may_be_called_kind_and_name(install):
    install(
        "acme-sink",
        """
        from gradcore import hookimpl

        class Sink:
            name = "named"
            def __init__(self, name, kind):
                self.given = name, kind
            def __call__(self, report):
                pass

        @hookimpl
        def gradcore_sinks():
            return [Sink]
        """,
    )

    made = Registry().create("sink", "named", name="run 7", kind="short")
    assert made.given == ("run 7", "short")


def test_an_unknown_option_is_an_error_with_the_name_and_the_known_ones():
    with pytest.raises(
        TypeError,
        match=r"global_norm\(max_norm=1.0, norm_type=2.0\): .*max_nrm'\. Did you mean 'max_norm'\?",
    ):
        Registry(plugins=False).create("clip", "global_norm", max_nrm=2.0)


def test_a_refused_value_is_an_error_with_the_name_and_the_reason():
    with pytest.raises(
        ValueError,
        match=r"Clip strategy global_norm\(.*\): max_norm must be greater than 0; got -1",
    ):
        Registry(plugins=False).create("clip", "global_norm", max_norm=-1)


def test_what_a_plugin_makes_must_be_callable(install):
    install(
        "acme-clip",
        """
        from gradcore import hookimpl

        class Inert:
            name = "inert"

        @hookimpl
        def gradcore_clip_strategies():
            return [Inert]
        """,
    )

    with pytest.raises(
        PluginError, match=r"acme-clip 1\.0: the clip strategy 'inert' must be callable"
    ):
        Registry().create("clip", "inert")


# Errors ---------------------------------------------------------------------------------------


# Resolving ------------------------------------------------------------------------------------


def test_a_name_a_pair_and_an_object_lead_to_the_same():
    registry = Registry(plugins=False)
    given = Replace(posinf=5.0)

    assert resolve("nonfinite", "zero", registry) == Zero()
    assert resolve("nonfinite", ("replace", {"posinf": 5.0}), registry) == given
    assert resolve("nonfinite", given, registry) is given


def test_an_object_is_taken_whatever_is_wrong_with_plugins(install):
    install("acme-clip", "", entry="acme")
    given = GlobalNorm()

    assert resolve("clip", given, Registry()) is given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (GlobalNorm, r"must be an object; got the class GlobalNorm. Write GlobalNorm\(\)"),
        (None, r"a name, a pair \(name, options\) or a callable .*; got None"),
        (1.0, "got 1.0"),
        (("global_norm", 1.0), r"got \('global_norm', 1.0\)"),
        (lambda _: Keep(), "a callable with an attribute `name`"),
    ],
)
def test_what_is_neither_name_nor_pair_nor_object_is_an_error(given, words):
    with pytest.raises(TypeError, match=words):
        resolve("clip", given, Registry(plugins=False))


def test_a_guard_without_names_is_made_whatever_is_wrong_with_plugins(install, monkeypatch):
    install("acme-clip", packages.STRATEGY.format(name="global_norm"))
    monkeypatch.setattr("gradcore.registry.default_registry", Registry)

    guard = gradcore.Guard(torch.nn.Linear(2, 1), clip=GlobalNorm(0.5))

    assert guard.nonfinite == Skip()
    assert gradcore.Guard(torch.nn.Linear(2, 1), max_norm=0.5).clip == guard.clip
    with pytest.raises(PluginConflictError):
        gradcore.Guard(torch.nn.Linear(2, 1), nonfinite="zero")


def test_the_default_registry_is_one_object():
    assert default_registry() is default_registry()
