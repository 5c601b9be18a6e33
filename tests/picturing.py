"""Takes the pictures of docs/debugging.md, from the run on that page.

python tests/picturing.py       # writes docs/debugging_*.png; needs matplotlib and Chromium
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from selenium.webdriver.support.wait import WebDriverWait

from browser import appearance, browser
from gradcore.cli import main
from gradcore.plots.curves import BLUE, VERMILION

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "debugging.md"


def run(page: Path) -> dict[str, Any]:
    """Run the page's Python and commands in order, here; returns what the code names."""
    names: dict[str, Any] = {}
    blocks = re.findall(
        r"^```(python|shell)\n(.*?)^```$",
        page.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    for language, code in blocks:
        if language == "python":
            exec(code, names)  # noqa: S102 - it is our page
        else:
            for line in code.splitlines():
                main(shlex.split(line)[1:])
    return names


def draw_layers(names: Mapping[str, Any], path: Path) -> None:
    """Draw the range of what each module returned, and how much of it was not finite."""
    found = {k: v for k, v in names["monitor"].get_statistics().items() if k}
    culprit = names["tracer"].event.module
    figure = Figure(figsize=(8.0, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.use_sticky_edges = False
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
    for place, (name, each) in enumerate(found.items()):
        axes.barh(place, each.largest - each.smallest, left=each.smallest, color=BLUE, height=0.55)
        if each.nonfinite:
            first = ": the first" if name == culprit else ""
            axes.text(1.02, place, f"{each.nonfinite} not finite{first}", color=VERMILION, **beside)
        else:
            axes.text(1.02, place, "all finite", **beside)
    axes.set_yticks(range(len(found)), list(found))
    axes.tick_params("y", length=0)
    for label in axes.get_yticklabels():
        label.set_color(VERMILION if found[label.get_text()].nonfinite else "black")
    axes.invert_yaxis()
    axes.set_xlabel("from the smallest to the largest finite element that the module returned")
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, dpi=150)


def photograph(page: Path, path: Path, profile: Path) -> None:
    """Take a picture of the upper part of a report page, as a browser shows it."""
    with browser(profile) as chrome:
        appearance(chrome, width=1000, dark=False)
        chrome.get(page.as_uri())
        WebDriverWait(chrome, 60).until(
            lambda _: chrome.execute_script("return document.documentElement.dataset.drawn")
        )
        chrome.save_screenshot(str(path))


@contextlib.contextmanager
def within(folder: str) -> Iterator[None]:
    """Work in another folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def take(pictures: Path) -> None:
    """Run the page and take all of its pictures."""
    with tempfile.TemporaryDirectory() as folder, within(folder):
        draw_layers(run(PAGE), pictures / "debugging_layers.png")
        shutil.copy("run.png", pictures / "debugging_run.png")
        photograph(Path("run.html").resolve(), pictures / "debugging_page.png", Path("profile"))


if __name__ == "__main__":
    take(DOCS)
