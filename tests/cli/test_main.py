"""The command ``gradcore`` finds its subcommands and hands on their exit status."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gradcore
from gradcore.cli import COMMANDS, demo, main


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_help_names_every_command_with_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    out = capsys.readouterr().out
    assert ended.value.code == 0
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        line = next(line for line in out.splitlines() if line.split()[:1] == [name])
        assert len(line.split()) > 3


def test_no_command_is_answered_with_help(capsys):
    assert main([]) == 2
    assert "usage: gradcore" in capsys.readouterr().out


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"gradcore {gradcore.__version__}\n"


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["demonstrate"])

    assert ended.value.code == 2
    assert "usage: gradcore" in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 1])
def test_the_exit_status_is_the_subcommands(monkeypatch, status):
    monkeypatch.setattr(demo, "run", lambda _: status)

    assert main(["demo"]) == status


def test_an_interrupt_ends_quietly_with_the_shells_status(monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupted)

    assert main(["demo"]) == 130


def test_python_dash_m_is_the_command():
    ended = python("-m", "gradcore", "--help")

    assert ended.returncode == 0
    assert ended.stdout.startswith("usage: gradcore ")


def test_importing_gradcore_loads_neither_rich_nor_matplotlib():
    """They are the command line's alone."""
    ended = python("-c", "import gradcore, sys; print({'rich', 'matplotlib'} & {*sys.modules})")

    assert ended.stdout == "set()\n", ended.stderr
