"""Packages that gradcore can do without, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def require_extra(module: str, extra: str) -> Any:
    """Import a module of an optional package.

    Args:
        module: Its full name.
        extra: The extra of gradcore that installs it.

    Raises:
        ImportError: It is not installed, or does not work; says what to do.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module} cannot be imported ({error}). It comes with pip install 'gradcore[{extra}]'"
        ) from error
