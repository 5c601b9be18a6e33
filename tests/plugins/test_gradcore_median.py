"""The smallest plugin, written from the guide alone, installs and is found by a new process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "plugins" / "README.md"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the files that the guide shows."""
    folder = tmp_path_factory.mktemp("guide")
    pattern = r"<!-- file: (\S+) -->\n(`{3,})\w*\n(.*?)^\2$"
    for name, _, text in re.findall(pattern, GUIDE.read_text(), re.MULTILINE | re.DOTALL):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "gradcore-median"


@pytest.fixture(scope="module")
def run(project, tmp_path_factory):
    """Run Python in a new process that sees the installed plugin; returns what it printed."""
    site = tmp_path_factory.mktemp("site")
    # Nothing is fetched: the build backend is there, and so is gradcore.
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    install = [sys.executable, "-m", "pip", "install", *offline, "--target", site, project]
    subprocess.run(install, check=True, capture_output=True)

    def run(*arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(site), **environment},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_it_is_found_by_its_entry_point(run):
    out = run("-c", "import gradcore; print(*gradcore.Registry().names('clip'))")

    assert "median_of_parameters" in out.split()


def test_the_command_lists_it_with_its_distribution(run):
    out = run("-m", "gradcore", "plugins")

    (line,) = [line for line in out.splitlines() if "median_of_parameters" in line]
    assert line.split()[:4] == ["clip", "median_of_parameters", "gradcore-median", "0.1.0"]


def test_the_environment_switches_it_off(run):
    out = run(
        "-c",
        "import sys, gradcore; gradcore.Registry().names('clip'); print(*sys.modules)",
        GRADCORE_PLUGINS_DISABLED="median",
    )

    assert "gradcore_median" not in out.split()


def test_its_own_tests_pass(run):
    out = run("-m", "pytest", "-q", "-p", "no:cacheprovider")

    assert re.search(r"\d+ passed", out)
