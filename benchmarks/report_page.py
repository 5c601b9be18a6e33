"""How large the page about a long run is, how long writing it takes, and drawing it in Chromium.

    python benchmarks/report_page.py [--steps 10000] [--parameters 300]

Needs `gradcore[test]`, chromium and chromium-driver.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import recorded
from browser import appearance, browser
from gradcore.cli import main


def steps(count: int, parameters: int):
    """A run whose middle parameter breaks in its last hundredth, and all before it with it."""
    random = np.random.default_rng(0)
    names = tuple(f"model.layers.{n // 10}.part{n % 10}.weight" for n in range(parameters))
    sizes = random.lognormal(0.0, 1.5, parameters)
    for n in range(count):
        norms = sizes * random.lognormal(0.0, 0.3, parameters)
        bad = range(parameters // 2) if n >= count - count // 100 else ()
        yield recorded.step(n, norms.tolist(), names=names, bad=bad, loss=1.0 + 5.0 / (n + 1))


def run() -> None:
    """Write a log, report it, open the page, and print how large and how long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--parameters", type=int, default=300)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = recorded.log(folder / "run.jsonl", steps(wanted.steps, wanted.parameters))
        print(f"log   {log.stat().st_size / 1e6:7.1f} MB")
        for kind in ("html", "png"):
            out = folder / f"run.{kind}"
            start = time.perf_counter()
            main(["report", str(log), "-o", str(out)])
            took = time.perf_counter() - start
            print(f"{kind:5} {out.stat().st_size / 1e6:7.1f} MB, written in {took:.1f} s")
        with browser(folder / "profile") as chrome:
            for width in (1280, 390):
                appearance(chrome, width=width, dark=False)
                start = time.perf_counter()
                chrome.get((folder / "run.html").as_uri())
                while not chrome.execute_script("return document.documentElement.dataset.drawn"):
                    time.sleep(0.02)
                print(f"drawn at {width} px in {time.perf_counter() - start:.1f} s")


run()
