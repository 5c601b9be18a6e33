"""``gradcore plugins`` shows everything that is installed, problems included."""

from __future__ import annotations

import pytest

import packages
from gradcore.cli import main
from gradcore.discovery import DISABLED


@pytest.fixture
def install(tmp_path, monkeypatch):
    return packages.installer(tmp_path, monkeypatch)


def row(out, name):
    (line,) = [line for line in out.splitlines() if name in line.split()]
    return line


def test_built_in_names_are_listed_with_kind_distribution_and_description(capsys):
    status = main(["plugins"])

    line = row(capsys.readouterr().out, "global_norm")
    assert status == 0
    assert line.split()[:3] == ["clip", "global_norm", "gradcore"]
    assert "joint norm is at most max_norm." in line


def test_a_plugin_is_listed_with_its_distribution_and_version(install, capsys):
    install("acme-clip", packages.STRATEGY.format(name="acme"), version="3.2")

    assert main(["plugins"]) == 0
    line = row(capsys.readouterr().out, "acme")
    assert " ".join(line.split()) == "clip acme acme-clip 3.2 Do nothing to gradients."


def test_a_broken_plugin_is_shown_with_its_problem_and_sets_the_status(install, capsys):
    install("acme-clip", "raise RuntimeError('[1, 2] is too short')", entry="acme")

    assert main(["plugins"]) == 1
    out = capsys.readouterr().out
    assert "RuntimeError: [1, 2] is too short" in " ".join(row(out, "acme").split())


def test_a_plugin_that_is_switched_off_is_shown_and_is_no_problem(install, monkeypatch, capsys):
    install("acme-clip", "raise RuntimeError", entry="acme")
    monkeypatch.setenv(DISABLED, "acme")

    assert main(["plugins"]) == 0
    assert DISABLED in row(capsys.readouterr().out, "acme")
