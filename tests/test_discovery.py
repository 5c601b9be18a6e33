"""Installed plugins are found in an order that installing cannot change, and held to a contract."""

from __future__ import annotations

import types

import pytest

import packages
from gradcore.discovery import (
    DISABLED,
    Offer,
    Source,
    closest,
    disabled,
    installed,
    offers_of,
)
from gradcore.errors import PluginError

ACME = Source("acme", "acme-clip", "2.1")


class Keeper:
    """Do nothing.

    At length.
    """

    name = "keeper"

    def __init__(self, hardness: float = 0.5, *, softly: bool = False) -> None:
        pass

    def __call__(self, statistics):
        pass


def plugin(source: str) -> types.ModuleType:
    """A module with that source, which knows `hookimpl` and `Keeper`."""
    module = types.ModuleType("plugin_of_a_test")
    exec("from gradcore.hooks import hookimpl", vars(module))  # noqa: S102
    vars(module)["Keeper"] = Keeper
    exec(source, vars(module))  # noqa: S102
    return module


def offering(expression: str, hook: str = "gradcore_clip_strategies") -> types.ModuleType:
    return plugin(f"@hookimpl\ndef {hook}():\n    return {expression}\n")


@pytest.fixture
def install(tmp_path, monkeypatch):
    return packages.installer(tmp_path, monkeypatch)


def test_entry_points_come_sorted_by_name_then_by_distribution(install):
    install("zeta", "", entry="b_plugin")
    install("alpha", "", entry="c_plugin")
    install("omega", "", entry="b_plugin")
    install("beta", "", entry="a_plugin")

    ours = {"zeta", "alpha", "omega", "beta"}
    found = [source for _, source in installed() if source.distribution in ours]
    assert [(source.entry, source.distribution) for source in found] == [
        ("a_plugin", "beta"),
        ("b_plugin", "omega"),
        ("b_plugin", "zeta"),
        ("c_plugin", "alpha"),
    ]


def test_names_in_the_environment_may_have_spaces_and_stray_commas(monkeypatch):
    monkeypatch.setenv(DISABLED, " median , acme,,")

    assert disabled() == {"median", "acme"}


def test_nothing_is_disabled_by_default(monkeypatch):
    monkeypatch.delenv(DISABLED, raising=False)

    assert disabled() == frozenset()


def test_a_similar_name_is_offered_as_a_question():
    assert closest("global_nrm", ["value", "global_norm"]) == " Did you mean 'global_norm'?"
    assert closest("xyz", ["value", "global_norm"]) == ""


@pytest.mark.parametrize(
    ("hook", "kind"),
    [
        ("gradcore_clip_strategies", "clip"),
        ("gradcore_nonfinite_policies", "nonfinite"),
        ("gradcore_health_checks", "check"),
        ("gradcore_sinks", "sink"),
    ],
)
@pytest.mark.parametrize("expression", ["[Keeper]", "(Keeper,)", "iter([Keeper])"])
def test_a_hook_offers_classes_of_its_kind(hook, kind, expression):
    assert offers_of(offering(expression, hook), ACME) == [Offer(kind, "keeper", Keeper, ACME)]


def test_a_hook_may_yield_and_a_plugin_may_have_several():
    both = plugin(
        "@hookimpl\ndef gradcore_clip_strategies():\n    yield Keeper\n"
        "@hookimpl\ndef gradcore_sinks():\n    return []\n"
    )

    assert [offer.kind for offer in offers_of(both, ACME)] == ["clip"]


def test_an_object_can_be_a_plugin():
    class Plugin:
        def gradcore_clip_strategies(self):
            return [Keeper]

    from gradcore.hooks import hookimpl  # noqa: PLC0415

    Plugin.gradcore_clip_strategies = hookimpl(Plugin.gradcore_clip_strategies)

    assert [offer.name for offer in offers_of(Plugin(), ACME)] == ["keeper"]


def test_an_offer_shows_its_options_without_their_types():
    offer = Offer("clip", "keeper", Keeper, ACME)

    assert offer.signature == "keeper(hardness=0.5, *, softly=False)"


def test_an_offer_is_described_by_the_first_line_of_its_docstring():
    assert Offer("clip", "keeper", Keeper, ACME).summary == "Do nothing."


def test_a_class_without_words_is_not_described_by_those_of_its_base():
    class Silent(Keeper):
        pass

    assert Offer("clip", "silent", Silent, ACME).summary == ""


BROKEN = {
    "misspelt hook": (
        offering("[Keeper]", "gradcore_clip_strategy"),
        r"has the hook 'gradcore_clip_strategy', .*Did you mean 'gradcore_clip_strategies'\?",
    ),
    "misspelt hook beside a good one": (
        plugin(
            "@hookimpl\ndef gradcore_clip_strategies():\n    return [Keeper]\n"
            "@hookimpl\ndef gradcore_sink():\n    return []\n"
        ),
        "has the hook 'gradcore_sink'",
    ),
    "hook with an argument": (
        plugin("@hookimpl\ndef gradcore_sinks(config):\n    return []\n"),
        "acme-clip 2.1: gradcore's hooks take no arguments.",
    ),
    "no mark on the hook": (
        plugin("def gradcore_clip_strategies():\n    return [Keeper]\n"),
        "acme-clip 2.1 has no hook: mark a function named like gradcore_clip_strategies",
    ),
    "forgotten return": (
        offering("None"),
        r"gradcore_clip_strategies\(\) must return a list of classes; got None",
    ),
    "class instead of a list": (
        offering("Keeper"),
        "must return a list of classes; got <class",
    ),
    "object instead of a class": (
        offering("[Keeper()]"),
        r"gradcore_clip_strategies\(\) must return classes; one is <",
    ),
    "class without a name": (
        offering("[int]"),
        r"int, offered by gradcore_clip_strategies\(\), has the name None",
    ),
    "name with capitals": (
        offering("[type('Loud', (), {'name': 'Loud'})]"),
        "has the name 'Loud'. Give it a class attribute `name` of lower-case letters",
    ),
}


@pytest.mark.parametrize(("broken", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_what_breaks_the_contract_is_an_error_that_names_the_distribution(broken, words):
    with pytest.raises(PluginError, match=words) as caught:
        offers_of(broken, ACME)

    assert "acme-clip 2.1" in str(caught.value)


def test_what_a_hook_raises_comes_out():
    with pytest.raises(ZeroDivisionError):
        offers_of(offering("[1 / 0]"), ACME)


def test_a_wrapper_has_nothing_to_wrap():
    """Each plugin is asked by itself, so none can filter what another one offers."""
    greedy = plugin("@hookimpl(wrapper=True)\ndef gradcore_sinks():\n    return (yield)\n")

    with pytest.raises(PluginError, match=r"gradcore_sinks\(\) must return a list of classes"):
        offers_of(greedy, ACME)
