"""A headless Chromium, and what it has to say of a page."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

REQUIRED = bool(os.environ.get("GRADCORE_REQUIRE_BROWSER"))

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # of no use to root, and Chromium refuses to start
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def missing(what: str) -> NoReturn:
    """Skip for want of a program, or fail where tests were declared to be indispensable."""
    if REQUIRED:
        pytest.fail(f"GRADCORE_REQUIRE_BROWSER is set, and there is no {what}.")
    pytest.skip(f"no {what}: apt-get install chromium chromium-driver")


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[webdriver.Chrome]:
    """Chromium with an empty profile in ``folder``."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or missing("Chromium")
    driver = shutil.which("chromedriver") or missing("chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    chrome = webdriver.Chrome(options, Service(driver))
    try:
        chrome.get("about:blank")
        _log(chrome, "performance")  # what the browser's own first page asks for
        yield chrome
    finally:
        chrome.quit()


def appearance(chrome: webdriver.Chrome, *, width: int, dark: bool) -> None:
    """Show pages in a window of this width, light or dark."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def said(chrome: webdriver.Chrome) -> list[str]:
    """Errors and warnings on the console since one last asked."""
    return [entry["message"] for entry in _log(chrome, "browser") if entry["level"] != "INFO"]


def requests(chrome: webdriver.Chrome) -> list[str]:
    """Addresses that were asked for since one last asked; data that a page carries is none."""
    logged = [json.loads(entry["message"])["message"] for entry in _log(chrome, "performance")]
    sent: list[dict[str, Any]] = [e for e in logged if e["method"] == "Network.requestWillBeSent"]
    addresses = [event["params"]["request"]["url"] for event in sent]
    return [address for address in addresses if not address.startswith(("data:", "blob:"))]


def _log(chrome: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = chrome.get_log(kind)  # type: ignore[no-untyped-call]
    return entries
