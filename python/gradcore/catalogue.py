"""Everything that is on offer: one look at the built-in plugin and at the installed ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradcore.discovery import (
    DISABLED,
    HOOKS,
    WORDS,
    Kind,
    Offer,
    Source,
    disabled,
    installed,
    offers_of,
)
from gradcore.errors import PluginConflictError, PluginError
from gradcore.version import own_version


@dataclass(frozen=True, slots=True)
class Record:
    """One line of what is installed: something on offer, or a plugin and why it offers nothing."""

    kind: Kind | None
    """None for a plugin whose offers are unknown."""

    name: str
    """What users ask for; of a plugin whose offers are unknown, the name of its entry point."""

    distribution: str
    version: str

    summary: str = ""
    """First line of its docstring."""

    problem: str = ""
    """What is wrong with it, if anything is."""


@dataclass(slots=True)
class Catalogue:
    """What one look found."""

    offers: dict[tuple[Kind, str], Offer] = field(default_factory=dict)

    conflicts: list[tuple[Offer, PluginConflictError]] = field(default_factory=list)
    """Offers of names that were taken."""

    faults: list[tuple[Source, PluginError]] = field(default_factory=list)
    """Plugins that do not keep to the contract of `gradcore.hooks`."""

    failures: list[tuple[Source, BaseException]] = field(default_factory=list)
    """Plugins that could not be imported, or whose hooks raised."""

    disabled: list[Source] = field(default_factory=list)
    """Plugins that the environment switches off: not imported."""

    def add(self, offer: Offer) -> None:
        """Take an offer in, or note that its name is taken."""
        first = self.offers.setdefault((offer.kind, offer.name), offer)
        if first is not offer:
            message = (
                f"{WORDS[offer.kind].capitalize()} {offer.name!r} is offered twice: by "
                f"{first.source} and by {offer.source}. Uninstall one, or switch one off: "
                f"{DISABLED}={offer.source.entry}."
            )
            self.conflicts.append((offer, PluginConflictError(message)))

    def records(self) -> list[Record]:
        """Everything in order of kind and name; plugins that offer nothing come last."""
        listed = [_record(offer) for offer in self.offers.values()]
        listed += [_record(offer, str(error)) for offer, error in self.conflicts]
        listed += [_absent(source, problem=str(error)) for source, error in self.faults]
        listed += [_absent(source, problem=cause_of(error)) for source, error in self.failures]
        listed += [_absent(source, summary=f"Off: see {DISABLED}.") for source in self.disabled]
        order = [*HOOKS, None]
        return sorted(listed, key=lambda record: (order.index(record.kind), record.name))


def read_catalogue(*, plugins: bool) -> Catalogue:
    """Look at the built-in plugin and, if asked to, at the installed ones, in the order of names.

    Raises nothing that a plugin does wrong: that is in the catalogue.
    """
    from gradcore import builtin  # noqa: PLC0415 - all of it, which those who ask for no name can do without

    found = Catalogue()
    for offer in offers_of(builtin, Source("", "gradcore", own_version())):
        found.add(offer)
    off = disabled()
    for entry, source in installed() if plugins else ():
        if source.entry in off:
            found.disabled.append(source)
            continue
        try:
            offers = offers_of(entry.load(), source)
        except PluginError as error:
            found.faults.append((source, error))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin may raise whatever it likes
            found.failures.append((source, error))
        else:
            for offer in offers:
                found.add(offer)
    return found


def cause_of(error: BaseException) -> str:
    """Return type and words of an error, without a full stop."""
    return f"{type(error).__name__}: {error}".rstrip(".: ")


def _record(offer: Offer, problem: str = "") -> Record:
    source = offer.source
    return Record(
        offer.kind, offer.name, source.distribution, source.version, offer.summary, problem
    )


def _absent(source: Source, *, summary: str = "", problem: str = "") -> Record:
    return Record(None, source.entry, source.distribution, source.version, summary, problem)
