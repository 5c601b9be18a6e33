"""The options of a guard come from a dict or a file just as from its arguments."""

from __future__ import annotations

import inspect
import math
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch
from torch import nn

import packages
import training
from gradcore import Guard, GuardConfig, Registry, UnknownPluginError
from gradcore.config import OPTIONS
from gradcore.nonfinite import Replace
from gradcore.strategies import GlobalNorm, Value

EXAMPLE = Path(__file__).parents[1] / "examples" / "guard.toml"


@pytest.fixture
def write(tmp_path):
    """Write a TOML file; returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "run.toml"
        path.write_text(text)
        return path

    return write


def model():
    return nn.Linear(2, 1)


def test_the_example_says_what_it_sets():
    guard = Guard.from_config(model(), EXAMPLE)

    assert guard.clip == GlobalNorm(1.0, math.inf)
    assert guard.nonfinite.name == "skip"
    assert (guard.history.capacity, guard.every, guard.streak.limit) == (5000, 10, 50)


def test_a_guard_from_a_file_does_what_one_from_arguments_does(write):
    path = write('max_norm = 0.05\nnonfinite = "zero"\n')
    one, other = training.model(), training.model()
    other.load_state_dict(one.state_dict())
    for net, guard in (
        (one, Guard(one, max_norm=0.05, nonfinite="zero")),
        (other, Guard.from_config(other, path)),
    ):
        training.backward(net, seed=3)
        assert guard.apply().clipped

    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine.grad, theirs.grad)


def test_names_are_those_of_the_arguments_of_a_guard():
    assert ["target", *OPTIONS] == list(inspect.signature(Guard).parameters)


@pytest.mark.parametrize(
    ("text", "strategy"),
    [
        ('clip = "value"', Value()),
        ('clip = "value"\n[model]\nwidth = 3\n', None),
        ('[guard]\nclip = "value"\n[model]\nwidth = 3\n', Value()),
        ('clip = {name = "value", limit = 2}', Value(2)),
        ('[clip]\nname = "value"\nlimit = 2.0\n', Value(2.0)),
        ('[guard.clip]\nname = "value"\nlimit = 2.0\n', Value(2.0)),
        ("max_norm = inf", GlobalNorm(math.inf)),
        ('max_norm = 3.0\nclip = {name = "global_norm", norm_type = 1.0}', GlobalNorm(3.0, 1.0)),
    ],
)
def test_what_can_be_written(write, text, strategy):
    path = write(text)

    if strategy is None:
        with pytest.raises(ValueError, match="Unknown option 'model'"):
            Guard.from_config(model(), path)
    else:
        assert Guard.from_config(model(), path).clip == strategy


SINK = """
from gradcore import hookimpl

class Kept:
    name = "kept"
    def __init__(self, path="-"):
        self.path = path
    def __call__(self, report):
        pass

@hookimpl
def gradcore_sinks():
    return [Kept]
"""


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ('sinks = ["kept", {name = "kept", path = "a"}]', ["-", "a"]),
        ('[[guard.sinks]]\nname = "kept"\npath = "b"\n[[guard.sinks]]\nname = "kept"', ["b", "-"]),
        ('[guard.sinks]\nname = "kept"\npath = "c"', ["c"]),
        ('sinks = "kept"', ["-"]),
    ],
)
def test_one_is_a_name_or_a_table_and_several_are_an_array(
    write, text, paths, tmp_path, monkeypatch
):
    packages.installer(tmp_path, monkeypatch)("acme-sinks", SINK)
    # The default registry may be filled already, without this package.
    monkeypatch.setattr("gradcore.registry.default_registry", Registry)

    guard = Guard.from_config(model(), write(text))
    assert [sink.path for sink in guard.sinks] == paths


def test_a_dict_may_hold_what_arguments_may():
    policy = Replace(posinf=5.0)
    given = {"nonfinite": policy, "clip": ("value", {"limit": 3.0}), "max_consecutive": None}

    guard = Guard.from_config(model(), given)
    assert guard.nonfinite is policy
    assert guard.clip == Value(3.0)
    assert guard.streak.limit is None


def test_arguments_stand_in_for_options_of_the_file(write):
    path = write("max_norm = 2.0\nevery = 7")

    guard = Guard.from_config(model(), path, max_norm=4.0)
    assert (guard.clip, guard.every) == (GlobalNorm(4.0), 7)


def test_infinity_means_never(write):
    assert Guard.from_config(model(), write("max_consecutive = inf")).streak.limit is None


def test_a_configuration_can_be_made_once_and_used_often(write):
    config = GuardConfig.from_toml(write('[guard]\nclip = {name = "value", limit = 2.0}'))

    one, other = Guard.from_config(model(), config), Guard.from_config(model(), config)
    assert one.clip == other.clip == Value(2.0)
    assert dict(config.options) == {"clip": ("value", {"limit": 2.0})}
    with pytest.raises(FrozenInstanceError):
        config.options = {}
    with pytest.raises(TypeError, match="assignment"):
        config.options["every"] = 3


WRONG = {
    "misspelt option": (
        "max_nrom = 1.0",
        ValueError,
        r"Unknown option 'max_nrom' in .*run\.toml\. Did you mean 'max_norm'\? Known: max_norm, ",
    ),
    "misspelt table": ("[gaurd]\nevery = 2", ValueError, r"'gaurd' .*Did you mean 'guard'\?"),
    "outside": ("every = 2\n[guard]\n", ValueError, r"'every' stands outside .* in .*run\.toml"),
    "guard is no table": ("guard = 3", TypeError, r"run\.toml has 3"),
    "a table without a name": (
        "[clip]\nlimit = 2.0",
        TypeError,
        r"'clip' in .*run\.toml is a table without a name.* add name = .* to \{'limit': 2\.0\}",
    ),
    "unknown plugin": (
        'clip = "valeu"',
        UnknownPluginError,
        r"'valeu'\. Did you mean 'value'\?.* those of .*run\.toml",
    ),
    "misspelt option of a plugin": (
        'clip = {name = "value", limits = 2.0}',
        TypeError,
        r"value\(limit=1\.0\): there is no option 'limits'\. Did you mean 'limit'\?.*toml",
    ),
    "type of an option of a plugin": (
        'clip = {name = "value", limit = "two"}',
        TypeError,
        r"limit must be a number; got 'two'\. The options are those of .*run\.toml",
    ),
    "type of an option": ('history = "long"', ValueError, r"history must be .*'long'.*run\.toml"),
    "type of a name": ("clip = 3.0", TypeError, r"clip strategy is a name.*got 3\.0\..*run\.toml"),
    "no TOML": ("max_norm 3", ValueError, r"run\.toml is no TOML: .*line 1"),
}


def test_a_mark_of_the_byte_order_is_passed_over(tmp_path):
    """Some editors put it before the first character of a file in UTF-8."""
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xef\xbb\xbfmax_norm = 3.0\n")

    assert GuardConfig.from_toml(path).options == {"max_norm": 3.0}


@pytest.mark.parametrize(("text", "kind", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_with_the_path_of_the_file(write, text, kind, words):
    with pytest.raises(kind, match=words):
        Guard.from_config(model(), write(text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.toml"):
        GuardConfig.from_toml(tmp_path / "absent.toml")


def test_what_is_no_configuration_is_said():
    with pytest.raises(TypeError, match="the path of a TOML file or a GuardConfig; got 3"):
        Guard.from_config(model(), 3)
