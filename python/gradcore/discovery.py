"""Finds installed plugins and asks each, by itself, what it offers."""

from __future__ import annotations

import difflib
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final, Literal, TypeAlias

import pluggy

from gradcore import hooks
from gradcore.errors import PluginError

Kind: TypeAlias = Literal["clip", "nonfinite", "check", "sink"]

HOOKS: Final[Mapping[Kind, str]] = {
    "clip": "gradcore_clip_strategies",
    "nonfinite": "gradcore_nonfinite_policies",
    "check": "gradcore_health_checks",
    "sink": "gradcore_sinks",
}
"""The hook that offers each kind."""

WORDS: Final[Mapping[Kind, str]] = {
    "clip": "clip strategy",
    "nonfinite": "non-finite policy",
    "check": "health check",
    "sink": "sink",
}
"""What each kind is called in messages."""

GROUP: Final = "gradcore"
"""Entry-point group of plugins."""

DISABLED: Final = "GRADCORE_PLUGINS_DISABLED"
"""Environment variable: entry-point names, separated by commas, of plugins to leave out."""

NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Source:
    """Where an offer comes from."""

    entry: str
    """Name of the entry point, which `DISABLED` takes."""

    distribution: str
    """Name of the installed distribution, as pip knows it."""

    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".rstrip()


@dataclass(frozen=True, slots=True)
class Offer:
    """One class that users can ask for by name."""

    kind: Kind
    name: str
    factory: Callable[..., Any]
    source: Source

    @property
    def signature(self) -> str:
        """Name and options, like ``global_norm(max_norm=1.0, norm_type=2.0)``."""
        try:
            signature = inspect.signature(self.factory)
        except ValueError:  # some classes written in C do not tell
            return f"{self.name}(...)"
        empty = inspect.Parameter.empty
        bare = [option.replace(annotation=empty) for option in signature.parameters.values()]
        return self.name + str(inspect.Signature(bare))

    @property
    def options(self) -> tuple[str, ...] | None:
        """Names that it takes as keywords; None if it takes any, or does not tell."""
        try:
            parameters = inspect.signature(self.factory).parameters.values()
        except ValueError:
            return None
        if any(each.kind is each.VAR_KEYWORD for each in parameters):
            return None
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return tuple(each.name for each in parameters if each.kind in by_name)

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the options that have no default, as far as it tells."""
        try:
            parameters = inspect.signature(self.factory).parameters.values()
        except ValueError:
            return ()
        return tuple(
            each.name
            for each in parameters
            if each.default is each.empty
            and each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}
        )

    @property
    def summary(self) -> str:
        """First line of the docstring, or nothing."""
        # Not inspect.getdoc, which would describe a class without words by those of its base.
        words = self.factory.__doc__
        return words.strip().partition("\n")[0] if isinstance(words, str) else ""


def installed() -> list[tuple[metadata.EntryPoint, Source]]:
    """Entry points of the group, sorted by name, then by distribution: never by install order."""
    found = [(entry, _source(entry)) for entry in metadata.entry_points(group=GROUP)]
    return sorted(found, key=lambda pair: (pair[1].entry, pair[1].distribution))


def disabled() -> frozenset[str]:
    """Entry-point names that the environment switches off."""
    return frozenset(name.strip() for name in os.environ.get(DISABLED, "").split(",")) - {""}


def closest(name: str, known: Iterable[str]) -> str:
    """Return a question that names the most similar of the known names, or nothing."""
    similar = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {similar[0]!r}?" if similar else ""


def offers_of(plugin: object, source: Source) -> list[Offer]:
    """Ask one plugin what it offers.

    Each plugin gets a plugin manager of its own, so that none can wrap, filter or reorder what
    another one offers, and so that it is plain whose offer is whose.

    Args:
        plugin: Module or object with functions marked by `hooks.hookimpl`.
        source: Whom to name in errors.

    Raises:
        PluginError: It has no hook, one that gradcore does not know or one with arguments, or a
            hook returns something else than classes with names.
        Exception: Whatever the hooks themselves raise.
    """
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    try:
        manager.register(plugin)
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{source}: gradcore's hooks take no arguments. {error}") from error
    callers = manager.get_hookcallers(plugin) or []
    if not callers:
        raise PluginError(
            f"{source} has no hook: mark a function named like {', '.join(HOOKS.values())} with "
            "@gradcore.hookimpl."
        )
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        unknown = next(caller.name for caller in callers if not caller.has_spec())
        raise PluginError(
            f"{source} has the hook {unknown!r}, which gradcore does not know."
            f"{closest(unknown, HOOKS.values())} Known: {', '.join(HOOKS.values())}."
        ) from error
    offered = {caller.name for caller in callers}
    return [
        _offer(kind, factory, source)
        for kind, hook in HOOKS.items()
        if hook in offered
        for factory in _answer(getattr(manager.hook, hook)(), hook, source)
    ]


def _answer(results: list[object], hook: str, source: Source) -> list[object]:
    # pluggy leaves out a None, which here is nearly always a forgotten `return`.
    given = results[0] if results else None
    if not isinstance(given, Iterable) or isinstance(given, type | str):
        raise PluginError(f"{source}: {hook}() must return a list of classes; got {given!r}.")
    return list(given)


def _offer(kind: Kind, factory: object, source: Source) -> Offer:
    if not (inspect.isclass(factory) or inspect.isfunction(factory)):
        raise PluginError(f"{source}: {HOOKS[kind]}() must return classes; one is {factory!r}.")
    name = getattr(factory, "name", None)
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise PluginError(
            f"{source}: {factory.__qualname__}, offered by {HOOKS[kind]}(), has the name {name!r}. "
            "Give it a class attribute `name` of lower-case letters, digits and underscores that "
            "begins with a letter."
        )
    return Offer(kind, name, factory, source)


def _source(entry: metadata.EntryPoint) -> Source:
    if entry.dist is None:
        return Source(entry.name, entry.value, "")
    return Source(entry.name, str(entry.dist.name), entry.dist.version)
