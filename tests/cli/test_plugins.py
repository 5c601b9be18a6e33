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
    assert " ".join(row(out, "-").split()) == "- acme acme-clip 1.0 Problem 1."
    assert "Problem 1: acme of acme-clip 1.0\n  RuntimeError: [1, 2] is too short\n" in out


def test_words_that_are_no_text_are_no_words(install, capsys):
    source = packages.STRATEGY.format(name="acme").replace(
        "class Offered:", "class Offered:\n    __doc__ = 3"
    )
    install("acme-clip", source.replace("    '''Do nothing to gradients.'''\n", ""))

    assert main(["plugins"]) == 0
    assert row(capsys.readouterr().out, "acme").split() == ["clip", "acme", "acme-clip", "1.0"]


def test_every_problem_has_its_number(install, capsys):
    install("acme-clip", packages.STRATEGY.format(name="acme"), entry="one")
    install("other-clip", packages.STRATEGY.format(name="acme"), entry="two")
    install("broken-clip", "import module_that_is_not_there", entry="broken")

    assert main(["plugins"]) == 1
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("clip") and "other" in line]
    assert line.rstrip().endswith("1.0      Problem 1. Do nothing to gradients.")
    assert "Problem 1: acme of other-clip 1.0\n  Clip strategy 'acme' is offered twice" in out
    assert "Problem 2: broken of broken-clip 1.0\n  ModuleNotFoundError: No module" in out


@pytest.mark.parametrize("width", [80, 120, 160])
def test_on_a_terminal_no_line_is_too_long_and_no_name_is_cut(width, install, monkeypatch, capsys):
    install("gradcore-strategies", packages.STRATEGY.format(name="median_of_parameters"))
    install("misspelt-clip", packages.STRATEGY.format(name="a").replace("strategies()", "strat()"))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", str(width))

    main(["plugins"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    for name in ("median_of_parameters", "global_norm", "zero_parameter"):
        assert sum(name in line.split() for line in lines) == 1
    words = " ".join(line[line.rfind("  ") :].strip() for line in map(str.rstrip, lines))
    assert "Do nothing to gradients." in words
    assert "so that their joint norm is at most max_norm." in words


def test_a_plugin_that_is_switched_off_is_shown_and_is_no_problem(install, monkeypatch, capsys):
    install("acme-clip", "raise RuntimeError", entry="acme")
    monkeypatch.setenv(DISABLED, "acme")

    assert main(["plugins"]) == 0
    assert DISABLED in row(capsys.readouterr().out, "acme")
