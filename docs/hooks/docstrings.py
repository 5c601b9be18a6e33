"""Reads the section ``Example:`` of our docstrings as what Google's style calls ``Examples:``."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Renames the section before it is read: under the other name it would be no code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called with every class, function, module and attribute that was found."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE
            )
