"""The page about a run: one file that asks nothing of anybody, to be looked at in a browser."""

from __future__ import annotations

import base64
import hashlib
import os
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from gradcore.extras import require_extra
from gradcore.page.escaping import json_in_html, text
from gradcore.page.payload import payload
from gradcore.page.sections import events, findings, notes, tiles, verdict

if TYPE_CHECKING:
    from gradcore.runs import Run

__all__ = ["page_of", "write_page"]


def write_page(run: Run, path: str | os.PathLike[str], *, title: str) -> None:
    """Write the page, in one piece or not at all.

    Raises:
        ImportError: plotly, which draws in the browser, is not installed.
        OSError: ``path`` cannot be written.
    """
    whole = page_of(run, title=title).encode()
    target = Path(path)
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        draft.write_bytes(whole)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def page_of(run: Run, *, title: str) -> str:
    """The page as HTML.

    Everything that comes from the run is text or data, never markup or script; and the page has a
    policy that lets the browser run the two scripts of ours alone, and fetch nothing.
    """
    plotly = require_extra("plotly.offline", "report").get_plotlyjs()
    ours = _asset("page.js")
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in (plotly, ours))
    return Template(_asset("page.html")).substitute(
        policy=f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'",
        title=text(title),
        style=_asset("page.css"),
        verdict=verdict(run),
        tiles=tiles(run),
        findings=findings(run),
        events=events(run),
        notes=notes(run),
        data=json_in_html(payload(run)),
        plotly=plotly,
        script=ours,
    )


def _asset(name: str) -> str:
    return files("gradcore.page").joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
