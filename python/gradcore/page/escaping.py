"""Names and messages of a log are whatever somebody wrote there: none may become markup."""

from __future__ import annotations

import html
import json
from typing import Any


def text(value: object) -> str:
    """Anything as text within an element or a quoted attribute."""
    return html.escape(str(value).encode("utf-8", "replace").decode(), quote=True)


def json_in_html(value: Any) -> str:
    """JSON that can stand in a ``script`` element: no character of it has a meaning in HTML.

    Raises:
        ValueError: A number in it is NaN or infinite, which JSON does not have.
    """
    plain = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        plain = plain.replace(character, f"\\u{ord(character):04x}")
    return plain
