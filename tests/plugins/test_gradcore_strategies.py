"""The package of published strategies installs, is found by a new process, and passes its tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2] / "plugins" / "gradcore-strategies"
NAMES = ("adagc", "agc", "autoclip", "median", "spike_skip", "zclip")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run Python in a new process that sees the installed package; returns what it printed."""
    site = tmp_path_factory.mktemp("site")
    # Nothing is fetched: the build backend is there, and so is gradcore.
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    install = [sys.executable, "-m", "pip", "install", *offline, "--target", site, PROJECT]
    subprocess.run(install, check=True, capture_output=True)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(site)},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_every_strategy_is_listed_with_its_distribution(run):
    lines = [line.split()[:4] for line in run("-m", "gradcore", "plugins").splitlines()]

    for name in NAMES:
        assert ["clip", name, "gradcore-strategies", "0.1.0"] in lines


def test_its_own_tests_pass(run):
    out = run("-m", "pytest", "-q", "-p", "no:cacheprovider")

    assert re.search(r"\d+ passed", out)
    assert "skipped" not in out
