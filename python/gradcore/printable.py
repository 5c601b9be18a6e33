"""Text of others as a terminal may show it."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text with what a terminal would obey, not show, as escapes.

    Names and messages may come from a log that somebody else wrote.  Control characters begin
    sequences that move the cursor, change the title of the window or write to the clipboard; marks
    of the direction of writing make a name look like another one.

    Example:
        >>> printable("weight\x1b[2J")
        'weight\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )
