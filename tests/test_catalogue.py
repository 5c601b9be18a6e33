"""The catalogue says who offers what, and what is wrong with whom, without raising."""

from __future__ import annotations

import sys

import pytest

import packages
from gradcore.catalogue import Record, read_catalogue
from gradcore.discovery import DISABLED


@pytest.fixture
def install(tmp_path, monkeypatch):
    return packages.installer(tmp_path, monkeypatch)


def records_of(distribution):
    records = read_catalogue(plugins=True).records()
    return [record for record in records if record.distribution == distribution]


def test_built_in_strategies_and_policies_are_offers_of_gradcore_itself():
    records = read_catalogue(plugins=False).records()

    assert {record.distribution for record in records} == {"gradcore"}
    assert not any(record.problem for record in records)
    assert {(record.kind, record.name) for record in records} >= {
        ("clip", "global_norm"),
        ("clip", "value"),
    }


def test_everything_built_in_is_described():
    assert all(record.summary for record in read_catalogue(plugins=False).records())


def test_an_installed_plugin_is_listed_with_its_distribution_and_description(install):
    install("acme-clip", packages.STRATEGY.format(name="acme"), version="3.2")

    assert records_of("acme-clip") == [
        Record("clip", "acme", "acme-clip", "3.2", "Do nothing to gradients.")
    ]


def test_a_plugin_that_cannot_be_imported_is_listed_with_the_cause(install):
    install("acme-clip", "import module_that_is_not_there", entry="acme")

    (record,) = records_of("acme-clip")
    assert (record.kind, record.name) == (None, "acme")
    assert record.problem == "ModuleNotFoundError: No module named 'module_that_is_not_there'"


def test_a_plugin_whose_hook_raises_offers_nothing_at_all(install):
    install(
        "acme-clip",
        packages.STRATEGY.format(name="acme")
        + "@hookimpl\ndef gradcore_sinks():\n    raise RuntimeError('no disk')\n",
    )

    (record,) = records_of("acme-clip")
    assert record.problem == "RuntimeError: no disk"


def test_a_plugin_that_breaks_the_contract_is_listed_with_what_it_did(install):
    install("acme-clip", "", entry="acme")

    (record,) = records_of("acme-clip")
    assert record.problem.startswith("acme-clip 1.0 has no hook")


def test_of_two_offers_of_a_name_the_second_is_listed_with_the_conflict(install):
    install("acme-clip", packages.STRATEGY.format(name="acme"), entry="one")
    install("other-clip", packages.STRATEGY.format(name="acme"), entry="two")

    (first,), (second,) = records_of("acme-clip"), records_of("other-clip")
    assert first.problem == ""
    assert "offered twice: by acme-clip 1.0 and by other-clip 1.0" in second.problem


def test_a_disabled_plugin_is_listed_but_not_imported(install, monkeypatch):
    module = install("acme-clip", packages.STRATEGY.format(name="acme"), entry="acme")
    monkeypatch.setenv(DISABLED, "acme")

    (record,) = records_of("acme-clip")
    assert (record.name, record.problem) == ("acme", "")
    assert DISABLED in record.summary
    assert module not in sys.modules
