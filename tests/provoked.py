"""Runs a piece of code, or a command, that must go wrong, and hears what is said."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shlex
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from unittest import mock

from gradcore.cli import main
from gradcore.registry import default_registry
from provided import HELPERS, PRELUDE


@dataclass
class Said:
    """What came of one piece of code."""

    code: str
    words: str = ""
    sites: set[tuple[str, int]] = field(default_factory=set)
    """File of gradcore and line of every frame that an error came through."""

    @property
    def language(self) -> str:
        """The code's, as a fenced block names it."""
        return "sh" if self.code.splitlines()[-1].startswith("gradcore ") else "py"

    def hear(self, code: str, names: dict[str, object]) -> None:
        """Run it and take in the error that comes of it."""
        try:
            exec(code, names)  # noqa: S102 - ours
        except Exception as error:  # noqa: BLE001 - the point of it
            self.words = f"{_name(error)}: {_plain(error)}"
            self.sites = set(_sites(error))


def provoke(code: str) -> Said:
    """Run a piece of code, which must end in an error, a warning or an entry of the log.

    Where its last line is a command of gradcore's, all of it is for a shell, and what the command
    says on its way out is what is said.
    """
    said = Said(code)
    caught = warnings.catch_warnings(record=True)
    with _empty_folder(), _plugins_of_the_folder(), caught as warned, _log() as logged:
        warnings.simplefilter("always")
        if said.language == "sh":
            said.words = _at_the_prompt(code)
            return said
        names: dict[str, object] = {}
        exec(PRELUDE + HELPERS, names)  # noqa: S102 - ours
        logged.clear()
        said.hear(code, names)
    if not said.words and (warned or logged):
        said.words = "\n".join([f"{w.category.__name__}: {w.message}" for w in warned] + logged)
    return said


def _at_the_prompt(code: str) -> str:
    """What the last line, a command, says in vain; how to use it left out."""
    *before, command = code.splitlines()
    subprocess.run(["sh", "-c", "\n".join(before)], check=True)  # noqa: S607 - any shell will do
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = main(shlex.split(command)[1:])
        except SystemExit as ended:  # as argparse does
            status = int(ended.code or 0)
    said = re.sub(r"(?ms)\Ausage: .*?(?=^gradcore)", "", errors.getvalue())
    return said.strip() if status else ""


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
    before, path = Path.cwd(), list(sys.path)
    modules: dict[str, ModuleType | None] = {**sys.modules}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            os.chdir(before)
            sys.path[:] = path
            now: dict[str, ModuleType | None] = {**sys.modules}  # None: what may not be imported
            for name, module in now.items():
                if module is None or folder in str(getattr(module, "__file__", None)):
                    del sys.modules[name]
            sys.modules.update({name: each for name, each in modules.items() if each is not None})


@contextlib.contextmanager
def _plugins_of_the_folder() -> Iterator[None]:
    """Find none of the plugins that happen to be installed: errors list what is known."""
    found = metadata.entry_points

    def here(**selection: str) -> object:
        entries = found(**selection)
        if selection.get("group") != "gradcore":
            return entries
        return [each for each in entries if _is_here(getattr(each, "dist", None))]

    default_registry.cache_clear()
    try:
        with mock.patch.object(metadata, "entry_points", here):
            yield
    finally:
        default_registry.cache_clear()


def _is_here(distribution: metadata.Distribution | None) -> bool:
    here = Path.cwd().resolve()
    return distribution is not None and Path(str(distribution.locate_file(""))).resolve() == here


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
