"""The smallest plugin, written from the guide alone, by the commands of the guide alone."""

from __future__ import annotations

import os
import re
import shlex
import site
import subprocess
import venv
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[2] / "plugins" / "README.md").read_text()

OFFLINE = {
    # Nothing is fetched: the build backend is there, and so is gradcore.
    "PIP_NO_BUILD_ISOLATION": "0",  # which is how pip spells it: build isolation is 0
    "PIP_NO_DEPS": "1",
    "PIP_NO_INDEX": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


def commands() -> list[str]:
    """What the guide says to type."""
    found = re.search(r"<!-- commands -->\n```sh\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    return found[1].splitlines()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the files that the guide shows."""
    folder = tmp_path_factory.mktemp("guide")
    pattern = r"<!-- file: (\S+) -->\n(`{3,})\w*\n(.*?)^\2$"
    for name, _, text in re.findall(pattern, GUIDE, re.MULTILINE | re.DOTALL):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "gradcore-median"


@pytest.fixture(scope="module")
def run(project, tmp_path_factory):
    """Run a command inside the folder, in a fresh environment that has gradcore, and no more."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.EnvBuilder(symlinks=True).create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    # As a line of code, not of a path, so that what these folders say themselves is heard too.
    bases = site.getsitepackages()
    bases += [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    lines = [f"import site; site.addsitedir({base!r})" for base in bases]
    (packages / "base.pth").write_text("\n".join(lines))

    def run(command: str, **environment: str) -> str:
        # Every command of the guide is a module too; its script is not where this Python is.
        done = subprocess.run(
            [folder / "bin" / "python", "-m", *shlex.split(command)],
            check=False,
            capture_output=True,
            text=True,
            cwd=project,
            env={**os.environ, **OFFLINE, **environment},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def outputs(run):
    """What the commands of the guide print, one after the other."""
    return {command: run(command) for command in commands()}


def test_the_guide_says_how_to_install_test_and_see_it():
    assert commands() == ["pip install '.[test]'", "pytest", "gradcore plugins"]


def test_it_is_installed_as_a_wheel(outputs):
    assert "Successfully installed gradcore-median-0.1.0" in outputs["pip install '.[test]'"]


def test_its_own_tests_pass(outputs):
    assert re.search(r"\b1[0-9] passed", outputs["pytest"])


def test_the_command_lists_it_with_its_distribution_and_description(outputs):
    lines = outputs["gradcore plugins"].splitlines()

    (line,) = [line for line in lines if "median_of_parameters" in line]
    assert line.split()[:4] == ["clip", "median_of_parameters", "gradcore-median", "0.1.0"]
    assert "Scale each gradient down to times the median norm of all gradients." in line


def test_the_environment_switches_it_off(outputs, run):
    out = run("gradcore plugins", GRADCORE_PLUGINS_DISABLED="median")

    (line,) = [line for line in out.splitlines() if "gradcore-median" in line]
    assert line.split()[:2] == ["-", "median"]


def test_a_guard_clips_with_it_in_a_process_of_its_own(outputs, run, project):
    (project / "train.py").write_text("""
import gradcore, torch
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
guard = gradcore.Guard(model, clip=("median_of_parameters", {"times": 1.0}))
for _ in range(20):
    optimizer.zero_grad()
    x = torch.randn(32, 4)
    (model(x)[:, 0] - x.sum(1)).square().mean().backward()
    report = guard.step(optimizer)
print(guard.history.summary()["clip_rate"], report.healthy)
""")

    assert run("train") == "1.0 True\n"
