"""From a name to a strategy, policy, check or sink, gradcore's own or a plugin's."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from gradcore.catalogue import Catalogue, Record, cause_of, read_catalogue
from gradcore.discovery import DISABLED, HOOKS, WORDS, Kind, Offer, Source, closest
from gradcore.errors import GradcoreError, PluginError, UnknownPluginError

if TYPE_CHECKING:
    from gradcore.protocols import ClipStrategy, HealthCheck, NonfinitePolicy, Sink


PUBLISHED = {
    ("clip", name) for name in ("adagc", "agc", "autoclip", "median", "spike_skip", "zclip")
}
"""What gradcore's own plugin of published strategies offers."""

SETS: Final[Mapping[Kind, tuple[str, ...]]] = {"check": ("default",)}
"""What `Guard` takes in place of names, for those who misspell it."""


class PluginWarning(UserWarning):
    """An installed plugin could not be loaded; nothing that it may offer was asked for yet."""


class Registry:
    """Strategies, policies, checks and sinks by name.

    Filled once, at the first use of a name.  A name offered twice and a plugin that breaks the
    contract are errors then, whatever name was asked for; a plugin that cannot be loaded is a
    `PluginWarning`, and an error when a name is asked for that nobody else offers.

    Args:
        plugins: False to have the built-in ones only.
    """

    def __init__(self, *, plugins: bool = True) -> None:
        self._plugins = plugins

    def names(self, kind: Kind) -> list[str]:
        """Names of one kind, sorted.

        Raises:
            PluginConflictError: Two plugins offer the same name, of whatever kind.
            PluginError: A plugin does not keep to the contract of `gradcore.hooks`.
            ValueError: There is no such kind.
        """
        if kind not in HOOKS:
            raise ValueError(f"Unknown kind {kind!r}. Known: {', '.join(HOOKS)}.")
        return sorted(name for of, name in self._offers if of == kind)

    @overload
    def create(self, kind: Literal["clip"], name: str, /, **options: Any) -> ClipStrategy: ...
    @overload
    def create(
        self, kind: Literal["nonfinite"], name: str, /, **options: Any
    ) -> NonfinitePolicy: ...
    @overload
    def create(self, kind: Literal["check"], name: str, /, **options: Any) -> HealthCheck: ...
    @overload
    def create(self, kind: Literal["sink"], name: str, /, **options: Any) -> Sink: ...
    def create(self, kind: Kind, name: str, /, **options: Any) -> Any:
        """Make the strategy, policy, check or sink of that name.

        Args:
            kind: ``"clip"``, ``"nonfinite"``, ``"check"`` or ``"sink"``.
            name: One of `names`.
            **options: Arguments of its class.

        Raises:
            UnknownPluginError: Nobody offers the name.
            PluginError: Nobody offers the name, and some plugin could not be loaded: what that one
                offers is unknown, so the name may be its.
            TypeError: An option is missing or unknown, or a value has the wrong type.
            ValueError: A value is refused, or there is no such kind.
        """
        offer = self._find(kind, name)
        for option in options:
            if offer.options is not None and option not in offer.options:
                raise TypeError(
                    f"{WORDS[kind].capitalize()} {offer.signature}: there is no option {option!r}."
                    f"{closest(option, offer.options)}"
                )
        missing = [option for option in offer.required if option not in options]
        if missing:
            given = ", ".join(f'"{option}": ...' for option in missing)
            raise TypeError(
                f"{WORDS[kind].capitalize()} {offer.signature} cannot do without "
                f'{", ".join(missing)}: write ("{name}", {{{given}}}).'
            )
        try:
            made = offer.factory(**options)
        except (TypeError, ValueError) as error:
            raised = TypeError if isinstance(error, TypeError) else ValueError
            raise raised(f"{WORDS[kind].capitalize()} {offer.signature}: {error}") from error
        if not callable(made):
            raise PluginError(
                f"{offer.source}: the {WORDS[kind]} {name!r} must be callable; got {made!r}."
            )
        return made

    def records(self) -> list[Record]:
        """Everything that is installed, problems included; raises and warns about none of them."""
        return self._catalogue.records()

    def _find(self, kind: Kind, name: str) -> Offer:
        known = self.names(kind)
        if name in known:
            return self._offers[kind, name]
        published = [each for of, each in sorted(PUBLISHED) if of == kind and each not in known]
        hint = closest(name, [*known, *published, *SETS.get(kind, ())])
        message = (
            f"Unknown {WORDS[kind]} {name!r}."
            f"{'' if name in published else hint} Known: {', '.join(known) or 'none'}."
        )
        if any(repr(each) in hint for each in published):
            message += " `pip install gradcore-strategies` brings it."
        off = [source.entry for source in self._catalogue.disabled]
        if off:
            message += f" Switched off by {DISABLED}: {', '.join(off)}."
        failures = self._catalogue.failures
        if not failures:
            raise UnknownPluginError(message)
        # What a plugin offers is known only once it was imported, so any of these may be meant.
        lost = " ".join(_not_loaded(source, error) for source, error in failures)
        raise PluginError(f"{message} {lost} It may be the one that offers it.") from failures[0][1]

    @functools.cached_property
    def _catalogue(self) -> Catalogue:
        return read_catalogue(plugins=self._plugins)

    @functools.cached_property
    def _offers(self) -> dict[tuple[Kind, str], Offer]:
        """What may be used: nothing while what is installed contradicts itself."""
        found = self._catalogue
        errors: list[GradcoreError] = [error for _, error in found.conflicts]
        errors += [error for _, error in found.faults]
        for error in errors:
            # Made anew: each raise adds to the traceback of an exception that is kept.
            raise type(error)(str(error)) from error.__cause__
        for source, failure in found.failures:
            message = _not_loaded(source, failure)
            cure = f"Repair or uninstall it, or set {DISABLED}={source.entry}."
            warnings.warn(f"{message} {cure}", PluginWarning, stacklevel=_users_level())
        return found.offers


@functools.cache
def default_registry() -> Registry:
    """Return the registry for names given to `Guard`: one a process, filled at first use."""
    return Registry()


@overload
def resolve(
    kind: Literal["clip"], given: object, registry: Registry | None = None
) -> ClipStrategy: ...
@overload
def resolve(
    kind: Literal["nonfinite"], given: object, registry: Registry | None = None
) -> NonfinitePolicy: ...
@overload
def resolve(
    kind: Literal["check"], given: object, registry: Registry | None = None
) -> HealthCheck: ...
@overload
def resolve(kind: Literal["sink"], given: object, registry: Registry | None = None) -> Sink: ...
def resolve(kind: Kind, given: object, registry: Registry | None = None) -> Any:
    """Turn what a user wrote into a strategy, policy, check or sink.

    Args:
        kind: ``"clip"``, ``"nonfinite"``, ``"check"`` or ``"sink"``.
        given: A name, a pair ``(name, options)``, or the object itself.  An object needs no
            registry: no plugin is looked at, so none can be in the way.
        registry: Where to look names up; `default_registry` if not given.

    Raises:
        TypeError: It is none of these.
        Exception: What `Registry.create` raises.
    """
    registry = default_registry() if registry is None else registry
    match given:
        case str(name):
            return registry.create(kind, name)
        case (str(name), Mapping() as options):
            return registry.create(kind, name, **options)
        case type():
            raise TypeError(
                f"A {WORDS[kind]} must be an object; got the class {given.__qualname__}. "
                f"Write {given.__name__}()."
            )
        case _ if callable(given) and isinstance(getattr(given, "name", None), str):
            return given
    raise TypeError(
        f"A {WORDS[kind]} is a name, a pair (name, options) or a callable with an attribute "
        f"`name`; got {given!r}."
    )


def _users_level() -> int:
    """The ``stacklevel`` of the first caller that is neither gradcore's nor Python's own."""
    frame, level = sys._getframe(1), 1  # noqa: SLF001 - documented, if with an underscore
    while frame.f_back is not None and _is_between(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    return level


def _is_between(module: str) -> bool:
    return module == functools.__name__ or module.partition(".")[0] == "gradcore"


def _not_loaded(source: Source, error: BaseException) -> str:
    return f"The plugin {source.entry!r} of {source} could not be loaded: {cause_of(error)}."
