"""What is wrong where gradcore cannot be imported: found without gradcore, torch or numpy."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

NEEDED: Final = ("numpy", "torch", "pluggy", "rich")
"""The first by torch as well, the last by the command alone."""

FAILED: Final = 1
NOT_BEGUN: Final = 2

PIP: Final = f"{sys.executable} -m pip install"
AGAIN: Final = (
    f"{PIP} --force-reinstall --no-deps gradcore (in a source tree: . in place of gradcore)"
)
COMPILE: Final = (
    f"{PIP} --force-reinstall --no-deps --no-binary gradcore gradcore (in a source tree: . in"
    " place of --no-binary gradcore gradcore)"
)


class Problem(NamedTuple):
    """One thing that is wrong, and its cure."""

    what: str
    cure: str


def explain(error: Exception, arguments: Sequence[str]) -> int:
    """Say why gradcore cannot be imported: in full to ``gradcore doctor``; returns the status."""
    said = f"{type(error).__name__}: {error}"
    if list(arguments[:1]) != ["doctor"]:
        sys.stderr.write(f"gradcore cannot be imported: {said}\n`gradcore doctor` looks for why.\n")
        return NOT_BEGUN
    lines = [f"{title:<12} {value}" for title, value in _facts()]
    for number, problem in enumerate(diagnose(said), 1):
        lines += ["", f"Problem {number}: {problem.what}", f"Cure: {problem.cure}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return FAILED


def diagnose(said: str) -> list[Problem]:
    """Return what is wrong, that comes first on which the rest depends; never nothing.

    Args:
        said: What came of importing gradcore.
    """
    found = [*_packages(), *_torch(), *_core()]
    other = Problem(f"gradcore cannot be imported: {said}", f"If that names no cure: {AGAIN}")
    return found or [other]


def _facts() -> Iterator[tuple[str, str]]:
    yield "gradcore", f"cannot be imported; it is in {folder_of('gradcore')}"
    yield "python", f"{sys.version.split()[0]} ({sys.executable})"
    for name in NEEDED:
        yield name, f"{_version(name) or 'not installed'}; it is in {folder_of(name)}"


def _packages() -> Iterator[Problem]:
    """Those that are missing, or do not work by themselves."""
    for name in NEEDED:
        if folder_of(name) is None:
            yield Problem(
                f"{name}, which gradcore needs, is not installed for {sys.executable}.",
                f"{PIP} {_required(name) or name}",
            )
        elif trouble := _trouble(name):
            yield Problem(
                f"{name} (in {folder_of(name)}) cannot be imported, whether or not gradcore is"
                f" there: {trouble}",
                f"{PIP} --force-reinstall {_required(name) or name}",
            )


def _torch() -> Iterator[Problem]:
    """A torch that is a mixture of two, or another than gradcore was compiled for."""
    folder, noted = folder_of("torch"), _version("torch")
    running = _running(folder)
    if folder is None or running is None:
        return
    if noted is not None and _minor(noted) != _minor(running):
        yield Problem(
            f"Two versions of torch are mixed: pip has noted {noted}, and what lies in {folder} is"
            f" {running}.",
            f"{PIP} --force-reinstall {_required('torch') or 'torch'}",
        )
    wanted = _required("torch")
    if wanted is not None and _minor(wanted.partition("==")[2]) != _minor(running):
        yield Problem(
            f"gradcore was compiled for {wanted}, and torch {running} (in {folder}) is installed.",
            f"Take that torch, {PIP} '{wanted}', or compile gradcore for this one, {COMPILE}",
        )


def _core() -> Iterator[Problem]:
    """A native core that is missing, or of another Python."""
    folder = folder_of("gradcore")
    if folder is None:
        yield Problem(
            f"gradcore is not installed for {sys.executable}, only its command is.", AGAIN
        )
        return
    cores = sorted(path.name for path in folder.glob("_native.*.so"))
    if not cores:
        yield Problem(
            f"There is no native core in {folder}: it is a copy of the source, or an installation"
            " that broke off.",
            AGAIN,
        )
    elif not any((folder / f"_native{suffix}").exists() for suffix in EXTENSION_SUFFIXES):
        yield Problem(
            f"The native core in {folder} is for another Python: {', '.join(cores)}; this one loads"
            f" _native{EXTENSION_SUFFIXES[0]}.",
            AGAIN,
        )


def folder_of(name: str) -> Path | None:
    """Where a package would be imported from; it is not imported."""
    spec = find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _trouble(name: str) -> str | None:
    """What goes wrong when it is imported, in a process of its own: it may end that."""
    done = subprocess.run(  # noqa: S603 - the Python that runs this
        [sys.executable, "-c", f"import {name}"], capture_output=True, text=True, check=False
    )
    if done.returncode < 0:
        return f"the process was ended by signal {-done.returncode}."
    return (done.stderr.strip().splitlines() or ["it ended."])[-1] if done.returncode else None


def _version(name: str) -> str | None:
    """As pip has noted it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _running(folder: Path | None) -> str | None:
    """The version of torch that lies in a folder."""
    if folder is None or not (folder / "version.py").is_file():
        return None
    text = (folder / "version.py").read_text(encoding="utf-8")
    found = re.search(r"^__version__ = ['\"]([^'\"]+)", text, re.MULTILINE)
    return found and found[1]


def _required(name: str) -> str | None:
    """What gradcore requires of a package, such as ``torch==2.13.*``."""
    try:
        requirements = metadata.requires("gradcore") or []
    except metadata.PackageNotFoundError:
        return None
    plain = (each for each in requirements if ";" not in each)
    return next((each for each in plain if re.match(rf"{name}\b", each)), None)


def _minor(version: str) -> list[str]:
    return version.split("+", maxsplit=1)[0].split(".")[:2]
