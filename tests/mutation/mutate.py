"""Plant faults in a copy of the source, one at a time, and see that the tests notice each.

    python tests/mutation/mutate.py [--only TEXT] >table.md

Works on a copy.  Python faults are run against the installed native core; C++ ones are compiled,
for the plainest instructions, with the C++ tests and the corpus of the fuzzer: needs g++ and
GoogleTest.  Ends with an error if a fault goes unnoticed, or no longer applies.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from guard_faults import GUARD
from native_faults import NATIVE
from reporting_faults import REPORTING

import gradcore._native

if TYPE_CHECKING:
    from fault import Fault

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("python/gradcore", "cpp", "tests")
FLAGS = (
    *("-std=c++20", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"),
    *("-Icpp", "-DGRADCORE_CAPABILITY=baseline"),
)
SECONDS = 600


def copied(folder: Path) -> None:
    """The tree, and the native core that is in use."""
    for part in (*FOLDERS, "plugins"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    native = Path(gradcore._native.__file__)  # noqa: SLF001 - the file is wanted, not what is in it
    shutil.copy(native, folder / "python/gradcore" / native.name)


def plant(fault: Fault, folder: Path) -> None:
    """Change the one place, which has to be there."""
    path = folder / fault.path
    text = path.read_text()
    if text.count(fault.before) != 1:
        sys.exit(f"{fault.path} has {fault.before!r} {text.count(fault.before)} times, not once.")
    path.write_text(text.replace(fault.before, fault.after))


def run(command: list[str], folder: Path) -> tuple[bool, str]:
    """Whether it succeeded, and what it printed."""
    paths = os.pathsep.join((str(folder / "python"), os.environ.get("PYTHONPATH", "")))
    environment = os.environ | {"CI": "1", "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    return done.returncode == 0, done.stdout


def noticed_by_pytest(fault: Fault, folder: Path) -> str | None:
    """The first test that fails."""
    options = ["-x", "-q", "--no-header", "--hypothesis-profile=unshrunk", "-p", "no:cacheprovider"]
    passed, said = run([sys.executable, "-m", "pytest", *options, *fault.tests], folder)
    if passed:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    if failed is None:
        sys.exit(f"pytest did not run:\n{said[-3000:]}")
    return failed[1]


def compiled(command: list[str], folder: Path) -> None:
    """Compile or link, or end."""
    built, said = run(command, folder)
    if not built:
        sys.exit(f"It does not compile:\n{said[-3000:]}")


def objects(sources: str, level: str, folder: Path) -> list[str]:
    """Compile sources, all but those that a fault touches from a cache if there is one."""
    cache = ["ccache"] if shutil.which("ccache") else []
    names = []
    for path in sorted(folder.glob(sources)):
        source = str(path.relative_to(folder))
        names.append(source.replace("/", "-") + ".o")
        compiled([*cache, "g++", *FLAGS, level, "-c", source, "-o", names[-1]], folder)
    return names


def noticed_by_cpp(folder: Path) -> str | None:
    """The first C++ test that fails, or the corpus of the fuzzer."""
    kernels = objects("cpp/kernels/*.cpp", "-O1", folder)
    for sources, libraries, program in (
        ("tests/cpp/test_*.cpp", ["-lgtest_main", "-lgtest", "-lpthread"], "cpp-tests"),
        ("tests/fuzz/*.cpp", [], "replay"),
    ):
        linked = [*kernels, *objects(sources, "-O0", folder), *libraries]
        compiled(["g++", *linked, "-o", program], folder)
    passed, said = run(["./cpp-tests"], folder)
    if not passed:
        failed = re.search(r"^\[  FAILED  \] (\S+?),? ", said, re.MULTILINE)
        return failed[1] if failed else "a crash of the C++ tests"
    passed, said = run(["./replay", "tests/fuzz/corpus"], folder)
    return None if passed else f"corpus of the fuzzer: {said.strip().splitlines()[-1][:60]}"


def notice(fault: Fault) -> str | None:
    """Plant one fault; the test that notices."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copied(folder)
        if fault.before:
            plant(fault, folder)
        return noticed_by_pytest(fault, folder) if fault.tests else noticed_by_cpp(folder)


def say(line: str) -> None:
    """Print it at once: a fault takes its time."""
    print(line, flush=True)  # noqa: T201


def main() -> None:
    """Print a Markdown table; fail if a fault survives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="faults whose description or file has this text")
    text = parser.parse_args().only
    chosen = [f for f in (*GUARD, *REPORTING, *NATIVE) if text in f.what or text in f.path]
    files = sorted({file for fault in chosen for file in fault.tests})
    for tests in ([tuple(files)] if files else []) + (
        [()] if any(not f.tests for f in chosen) else []
    ):
        failed = notice(replace(chosen[0], before="", tests=tests))
        if failed is not None:
            sys.exit(f"Without a fault {failed} fails.")
    survivors = 0
    say("| fault | in | noticed by |\n|---|---|---|")
    for fault in chosen:
        test = notice(fault)
        survivors += test is None
        said = f"`{test}`" if test else "**nobody**"
        say(f"| {fault.what} | `{fault.path}` | {said} |")
    if survivors:
        sys.exit(f"{survivors} of {len(chosen)} faults went unnoticed.")


if __name__ == "__main__":
    main()
