"""What is wrong with a name or a plugin is an error that says what, whose, and what to do."""

from __future__ import annotations

import functools

import pytest
import torch

import packages
from gradcore import (
    GradcoreError,
    Guard,
    PluginConflictError,
    PluginError,
    Registry,
    UnknownPluginError,
)
from gradcore.discovery import DISABLED
from gradcore.registry import PluginWarning
from gradcore.strategies import GlobalNorm


@pytest.fixture
def install(tmp_path, monkeypatch):
    return packages.installer(tmp_path, monkeypatch)


def test_an_unknown_name_is_answered_with_the_closest_and_all_known_ones():
    with pytest.raises(
        UnknownPluginError,
        match=r"Unknown clip strategy 'global_nrm'\. Did you mean 'global_norm'\? Known: .*value",
    ) as caught:
        Registry(plugins=False).create("clip", "global_nrm")

    assert isinstance(caught.value, LookupError)
    assert isinstance(caught.value, GradcoreError)


@pytest.mark.parametrize("name", ["adagc", "agc", "autoclip", "median", "spike_skip", "zclip"])
def test_a_published_strategy_is_unknown_with_the_package_that_brings_it(name):
    registry = Registry(plugins=False)

    with pytest.raises(UnknownPluginError, match="`pip install gradcore-strategies` brings"):
        registry.create("clip", name)
    with pytest.raises(UnknownPluginError) as unknown:
        registry.create("check", name)
    assert "pip install" not in str(unknown.value)


def test_a_misspelt_published_strategy_is_answered_with_its_name_and_package():
    """Whether or not the package is there, the reader meant one of its strategies."""
    with pytest.raises(
        UnknownPluginError,
        match=r"'zclipp'\. Did you mean 'zclip'\? Known: .*`pip install gradcore-strategies`",
    ):
        Registry(plugins=False).create("clip", "zclipp")


def test_the_word_for_the_usual_checks_is_known_when_it_is_misspelt():
    with pytest.raises(UnknownPluginError, match=r"check 'defualt'\. Did you mean 'default'\?"):
        Guard(torch.nn.Linear(1, 1), checks=["defualt"])


def test_a_name_of_another_kind_is_unknown():
    with pytest.raises(UnknownPluginError, match="Unknown non-finite policy 'value'"):
        Registry(plugins=False).create("nonfinite", "value")


def test_a_name_offered_twice_is_an_error_whatever_is_asked_for(install):
    install("acme-clip", packages.STRATEGY.format(name="acme"), entry="one")
    install("other-clip", packages.STRATEGY.format(name="acme"), entry="two")

    registry = Registry()
    for ask in (
        lambda: registry.create("clip", "acme"),
        lambda: registry.create("clip", "value"),
        lambda: registry.names("sink"),
    ):
        with pytest.raises(
            PluginConflictError,
            match=r"strategy 'acme' is offered twice: by acme-clip 1\.0 and by other-clip 1\.0",
        ):
            ask()


def test_a_built_in_name_cannot_be_taken_over(install):
    install("acme-clip", packages.STRATEGY.format(name="global_norm"))

    with pytest.raises(PluginConflictError, match=r"by gradcore .* and by acme-clip 1\.0"):
        Registry().create("clip", "global_norm")


def test_switching_one_off_ends_a_conflict(install, monkeypatch):
    install("acme-clip", packages.STRATEGY.format(name="acme"), entry="one")
    install("other-clip", packages.STRATEGY.format(name="acme"), entry="two")
    monkeypatch.setenv(DISABLED, "two")

    assert "acme" in Registry().names("clip")


def test_two_kinds_may_share_a_name(install):
    install(
        "acme-clip",
        packages.STRATEGY.format(name="zero"),
    )

    assert "zero" in Registry().names("clip")


def test_a_misspelt_hook_is_an_error_that_names_distribution_and_hook(install):
    source = packages.STRATEGY.format(name="acme").replace("_strategies", "_strategy")
    install("acme-clip", source)

    with pytest.raises(PluginError, match=r"acme-clip 1\.0 has the hook 'gradcore_clip_strategy'"):
        Registry().names("clip")


def test_a_plugin_that_cannot_be_imported_is_a_warning_for_those_who_need_it_not(install):
    install("acme-clip", "import module_that_is_not_there", entry="acme")

    with pytest.warns(
        PluginWarning, match=r"plugin 'acme' of acme-clip 1.0 .*ModuleNotFoundError: .*=acme\."
    ):
        made = Registry().create("clip", "global_norm")
    assert made == GlobalNorm()


def test_the_warning_about_a_plugin_points_at_the_line_of_the_user(install, monkeypatch, recwarn):
    install("acme-clip", "import module_that_is_not_there", entry="acme")
    monkeypatch.setattr("gradcore.registry.default_registry", functools.cache(Registry))

    Guard(torch.nn.Linear(1, 1), clip="value")
    Registry().names("clip")

    here = [warning.lineno for warning in recwarn if warning.filename == __file__]
    assert len(here) == len(recwarn) == 2
    assert here[0] + 1 == here[1]


def test_a_plugin_that_exits_when_imported_does_not_end_the_program(install):
    install("acme-clip", "import sys\nsys.exit('no licence')\n", entry="acme")

    with pytest.warns(PluginWarning, match=r"'acme' of acme-clip 1\.0 .*SystemExit: no licence"):
        assert Registry().create("clip", "global_norm") == GlobalNorm()


def test_nor_does_one_that_raises_what_is_no_exception(install):
    install("acme-clip", "class Odd(BaseException): ...\nraise Odd('no')\n", entry="acme")

    with pytest.warns(PluginWarning, match=r"'acme' of acme-clip 1\.0 .*Odd: no"):
        assert Registry().create("clip", "global_norm") == GlobalNorm()


def test_ctrl_c_while_a_plugin_is_imported_is_ctrl_c(install):
    install("acme-clip", "raise KeyboardInterrupt")

    with pytest.raises(KeyboardInterrupt):
        Registry().names("clip")


def test_the_warning_comes_once_a_registry(install, recwarn):
    install("acme-clip", "import module_that_is_not_there")

    registry = Registry()
    registry.names("clip")
    registry.names("sink")
    assert [warning.category for warning in recwarn] == [PluginWarning]


def test_an_unknown_name_is_laid_at_the_door_of_a_plugin_that_failed(install):
    """What it offers is unknown, so any name that nobody offers may be its."""
    install("acme-clip", "import module_that_is_not_there", entry="acme")

    with (
        pytest.warns(PluginWarning),
        pytest.raises(PluginError, match=r"'acme' of acme-clip 1\.0 could not be loaded") as caught,
    ):
        Registry().create("clip", "acme_norm")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert "Known: " in str(caught.value)
