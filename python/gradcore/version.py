"""Which gradcore this is, without loading its compiled core."""

from __future__ import annotations

from importlib import metadata


def own_version() -> str:
    """The version of the installed distribution; empty when run from a source tree."""
    try:
        return metadata.version("gradcore")
    except metadata.PackageNotFoundError:
        return ""
