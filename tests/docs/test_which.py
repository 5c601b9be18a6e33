"""docs/which.md shows what the script measured, and advises nothing that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gradcore
from gradcore.registry import PUBLISHED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "which.md").read_text(encoding="utf-8")
MEASURED = (ROOT / "benchmarks" / "results" / "choosing.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("part", ["policies", "strategies"])
def test_the_tables_are_those_of_the_results(part):
    shown = re.search(rf"<!-- {part} -->\n(.*?)<!-- end -->", PAGE, re.DOTALL)[1].strip()
    section = MEASURED.partition(f"## {part.capitalize()}")[2].partition("\n## ")[0]

    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))

    assert shown == table


@pytest.mark.parametrize("kind", ["nonfinite", "clip"])
def test_all_that_is_advised_can_be_had(kind):
    known = {*gradcore.Registry(plugins=False).names(kind)}
    known |= {name for of, name in PUBLISHED if of == kind}
    table = PAGE.partition(f"`{kind}=`")[2].partition("<!--")[0]

    advised = set(re.findall(r'`"(\w+)"`', table))

    assert advised
    assert advised <= known
