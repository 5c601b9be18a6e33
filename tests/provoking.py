"""Provokes every error that gradcore has words for, and makes a page of what it says.

    python tests/provoking.py       # writes docs/errors.md

``tests/docs/errors/*.txt`` hold the provocations: a title, a few words, and pieces of code with a
blank line between them.  Each piece is run by itself, after `PRELUDE`, in an empty folder.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
import textwrap
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from unittest import mock

from gradcore.registry import default_registry

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "errors.md"
SOURCES = ROOT / "tests" / "docs" / "errors"
WIDTH = 78

PRELUDE = """
import json, math, os, pathlib, sys, torch
from torch import nn
import gradcore
from gradcore import numerics, plots
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
model(torch.ones(4, 3)).sum().backward()
guard = gradcore.Guard(model)
"""

HELPERS = '''
def answering(*verbs, **attributes):
    """A strategy or policy that always answers with these verbs."""
    answer = type("Answer", (), {"name": "mine", "__call__": lambda *_: verbs, **attributes})
    return answer()

def log(line=None, **changes):
    """Read the log of a run with this line, or with a step that has these fields."""
    start = '{"type":"run","format":"gradcore.log","version":1,"gradcore":"0.1.0","started":"2026"}'
    step = dict(
        type="step", step=0, norm=1.0, clipped_norm=1.0, scale=1.0, clipped=False, repaired=0,
        nonfinite={"nan": 0, "posinf": 0, "neginf": 0}, skipped=False,
    )
    line = json.dumps(step | changes) if line is None else line
    pathlib.Path("run.jsonl").write_text(start + "\\n" + line + "\\n")
    gradcore.History.load("run.jsonl")

def install(distribution, source):
    """Put a package with one plugin where it is found like an installed one."""
    module = distribution.replace("-", "_")
    pathlib.Path(f"{module}.py").write_text(source)
    metadata = pathlib.Path(f"{module}-1.0.dist-info")
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\\nName: {distribution}\\nVersion: 1.0\\n"
    )
    (metadata / "entry_points.txt").write_text(f"[gradcore]\\n{module} = {module}\\n")
'''

INTRODUCTION = """# Every error and what it says

What gradcore says when something is wrong: what it was, with the value; where; what to do. Look up
the message that you have with your browser's search.

All of these were raised by the code above them, which a test runs; this page is what came out.
There, `model` is two linear layers, `optimizer` holds their named parameters, `guard` is
`gradcore.Guard(model)`, and a backward pass has left finite gradients. `answering(verb)` is a
strategy or a policy that always answers with that verb, `log(...)` reads the log of a run with that
line, or a step with those fields, in it, and `install(name, source)` installs a plugin.

Not here are errors of the command line, which come with its usage, of
[many processes](distributed.md), of the integrations with [Lightning](lightning.md) and
[Transformers](transformers.md), and of the conformance kit for plugins.
"""


@dataclass
class Said:
    """What came of one piece of code."""

    code: str
    words: str = ""
    sites: set[tuple[str, int]] = field(default_factory=set)
    """File of gradcore and line of every frame that an error came through."""


@dataclass
class Section:
    """One file of provocations."""

    title: str
    words: str
    pieces: list[Said]


def sections() -> list[Section]:
    """All files, everything in them provoked."""
    return [_read(path) for path in sorted(SOURCES.glob("*.txt"))]


def _read(path: Path) -> Section:
    title, *paragraphs = path.read_text(encoding="utf-8").strip().split("\n\n")
    words = [each for each in paragraphs if each.startswith("> ")]
    codes = [each for each in paragraphs if not each.startswith("> ")]
    plain = "\n".join(each.replace("> ", "", 1).replace("\n> ", "\n") for each in words)
    return Section(title, plain, [provoke(code) for code in codes])


def provoke(code: str) -> Said:
    """Run a piece of code, which must end in an error, a warning or an entry of the log."""
    names: dict[str, object] = {}
    said = Said(code)
    caught = warnings.catch_warnings(record=True)
    with _empty_folder(), _plugins_of_the_folder(), caught as warned, _log() as logged:
        warnings.simplefilter("always")
        exec(PRELUDE + HELPERS, names)  # noqa: S102 - ours
        logged.clear()
        try:
            exec(code, names)  # noqa: S102
        except Exception as error:  # noqa: BLE001 - the point of it
            said.words = f"{_name(error)}: {_plain(error)}"
            said.sites = set(_sites(error))
    if not said.words and (warned or logged):
        said.words = "\n".join([f"{w.category.__name__}: {w.message}" for w in warned] + logged)
    return said


def page() -> str:
    """The page as it should be."""
    return page_of(sections())


def page_of(read: list[Section]) -> str:
    """The same, of what was provoked already."""
    parts = [INTRODUCTION]
    for section in read:
        parts.append(
            f"## {section.title}\n\n{section.words}\n" if section.words else f"## {section.title}\n"
        )
        parts.extend(
            f"```py\n{each.code}\n```\n\n```text\n{_wrapped(each.words)}\n```\n"
            for each in section.pieces
        )
    return "\n".join(parts)


def _wrapped(words: str) -> str:
    lines = (textwrap.wrap(line, WIDTH, break_long_words=False) for line in words.splitlines())
    return "\n".join("\n".join(line) for line in lines)


def _name(error: Exception) -> str:
    kind = type(error)
    return (
        kind.__name__
        if kind.__module__.partition(".")[0] in {"builtins", "gradcore"}
        else kind.__qualname__
    )


def _plain(error: Exception) -> str:
    """Its words, without what differs between machines, runs and versions."""
    words = str(error).replace(f"{Path.cwd()}/", "")
    words = re.sub(r" at 0x[0-9a-f]+", " at 0x…", words)
    words = re.sub(r"import of (\S+) halted; None in sys.modules", r"No module named '\1'", words)
    return re.sub(r"(gradcore|torch) \d+\.\d+\.\d+[+\w.]*", r"\1 X.Y.Z", words)


def _sites(error: BaseException) -> Iterator[tuple[str, int]]:
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is not None:
            for frame, line in traceback.walk_tb(link.__traceback__):
                yield frame.f_code.co_filename, line
            links += [link.__cause__, link.__context__]


@contextlib.contextmanager
def _empty_folder() -> Iterator[None]:
    before, path, modules = Path.cwd(), list(sys.path), dict(sys.modules)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            os.chdir(before)
            sys.path[:] = path
            for name, module in list(sys.modules.items()):
                if module is None or folder in str(getattr(module, "__file__", None)):
                    del sys.modules[name]
            sys.modules.update(modules)


@contextlib.contextmanager
def _plugins_of_the_folder() -> Iterator[None]:
    """Find none of the plugins that happen to be installed: errors list what is known."""
    found = metadata.entry_points

    def here(**selection: str) -> object:
        entries = found(**selection)
        if selection.get("group") != "gradcore":
            return entries
        return [each for each in entries if each.dist and _is_here(each.dist)]

    default_registry.cache_clear()
    try:
        with mock.patch.object(metadata, "entry_points", here):
            yield
    finally:
        default_registry.cache_clear()


def _is_here(distribution: metadata.Distribution) -> bool:
    return Path(str(distribution.locate_file(""))).resolve() == Path.cwd().resolve()


@contextlib.contextmanager
def _log() -> Iterator[list[str]]:
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(  # type: ignore[method-assign]
        f"{record.levelname} {record.name}: {record.getMessage()}"
    )
    logger = logging.getLogger("gradcore")
    logger.addHandler(handler)
    try:
        yield logged
    finally:
        logger.removeHandler(handler)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
