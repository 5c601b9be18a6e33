"""A package that is missing is an error that says how to get it."""

from __future__ import annotations

import json
import sys

import pytest

from gradcore.extras import require_extra


def test_a_module_that_is_there_is_imported():
    assert require_extra("json", "any") is json


def test_one_that_is_not_tells_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "absent", None)

    with pytest.raises(ImportError, match=r"absent .* pip install 'gradcore\[plot\]'"):
        require_extra("absent", "plot")
