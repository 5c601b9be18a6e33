"""What a release is made of says the same thing everywhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / ".github" / "workflows"
TORCH = re.compile(r"\b2\.1\d\.\d\b")


def text(*path: str) -> str:
    return ROOT.joinpath(*path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads(text("pyproject.toml"))


def of_session(name: str) -> str:
    """The source of one session of nox, its decorators included."""
    return next(part for part in text("noxfile.py").split("\n\n\n") if f"def {name}(" in part)


def test_the_version_stands_in_one_place(project):
    """Everything else reads it from there; the changelog tells of versions that were released."""
    version = project["project"]["version"]
    folders = ("python", "cpp", ".ci", ".github")
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    sources = {".py", ".pyi", ".toml", ".txt", ".hpp", ".cpp", ".cu", ".cmake", ".yml", ""}
    read = {path for path in files if path.suffix in sources}
    places = {
        path.name for path in read if version in path.read_text(encoding="utf-8", errors="replace")
    }

    assert places == {"pyproject.toml"}


def test_wheels_are_built_for_the_pythons_that_are_promised(project):
    oldest = project["project"]["requires-python"].removeprefix(">=")
    promised = {
        trove.rpartition(" ")[2]
        for trove in project["project"]["classifiers"]
        if re.search(r":: 3\.\d+$", trove)
    }
    built = {f"3.{build[3:5]}" for build in project["tool"]["cibuildwheel"]["build"]}
    by_hand = set(
        re.findall(r'"(3\.\d+)"', text("noxfile.py").partition("PYTHONS = ")[2].partition("\n")[0])
    )
    released = {
        f"3.{tag[3:]}" for tag in re.findall(r"cp3\d+", text(".github", "workflows", "release.yml"))
    }

    assert min(built) == oldest
    assert promised == built == by_hand == released


def test_a_release_serves_the_versions_of_torch_that_are_tested():
    tested = set(TORCH.findall(of_session("torch_versions")))
    release = text(".github", "workflows", "release.yml")
    (matrix,) = re.findall(r"^ +torch: \[(.*)\]$", release, re.MULTILINE)
    (archives,) = re.findall(r"for torch in (.*); do", release)

    assert tested == set(TORCH.findall(matrix)) == set(TORCH.findall(archives))


def test_the_index_gets_the_wheels_of_the_torch_that_is_fetched_where_there_is_none():
    (default,) = re.findall(
        r'^DEFAULT_TORCH = "(.*)"$', text("cpp", "cmake", "torch_pin.py"), re.MULTILINE
    )

    assert f"pattern: wheels-torch-{default}-*" in text(".github", "workflows", "release.yml")
    assert f'CPU_TORCH = "torch=={default}"' in text("noxfile.py")


@pytest.mark.parametrize(
    "library",
    [
        "libc10.so",
        "libc10_cuda.so",
        "libtorch_cpu.so",
        "libtorch_python.so",
        "libcudart.so.13",
        "libgomp.so.1",
    ],
)
def test_no_library_of_torch_is_copied_into_a_wheel(project, library):
    words = shlex.split(project["tool"]["cibuildwheel"]["linux"]["repair-wheel-command"])
    excluded = [words[i + 1] for i, word in enumerate(words) if word == "--exclude"]

    assert any(fnmatchcase(library, pattern) for pattern in excluded)


def test_the_program_that_tries_a_wheel_holds_here():
    """With the gradcore of this environment; `nox -s wheels` runs it on a wheel."""
    process = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "smoke.py")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert process.returncode == 0, process.stderr
    assert re.search(r"^10 passed", process.stdout, re.MULTILINE)


def test_the_program_that_type_checkers_see_runs():
    """Mypy reads it with the sources, `nox -s typed` with the installed package."""
    process = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "typing" / "a_user.py")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_to_a_commit(path):
    """What runs with leave to publish is not whatever a tag points to that day."""
    used = re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))

    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v[\d.]+", comment), action
