"""The page is one file that asks for nothing, and whatever a log holds stays text in it."""

from __future__ import annotations

import json
import math
import operator
import re
from html.parser import HTMLParser

import pytest

import gradcore
import recorded
import reports
from gradcore.page import page_of, write_page
from recorded import finding

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&amp;$policy\ud800"


class Elements(HTMLParser):
    """Start tags with their attributes, and the text within each kind of element."""

    def __init__(self, page):
        super().__init__()
        self.found, self.texts, self.open = [], {}, []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in {"meta", "link", "input", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)


def broken():
    """A run that broke, with names and messages of somebody hostile."""
    said = finding(
        HOSTILE, "critical", message=HOSTILE, recommendation=HOSTILE, parameters=(HOSTILE,)
    )
    names = (HOSTILE, "mid.weight", "out.weight")
    return recorded.run(
        recorded.step(0, names=names, loss=1.0),
        recorded.step(1, names=names, bad=[0], loss=math.nan, findings=(said,), last_clean=HOSTILE),
    )


def test_nothing_is_fetched_and_no_other_script_may_run():
    elements = Elements(page_of(broken(), title=HOSTILE))

    links = [v for _, a in elements.found for k, v in a.items() if k in {"src", "href", "action"}]
    assert links == ["data:,"]
    (policy,) = [a["content"] for tag, a in elements.found if tag == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.partition("style-src")[0]


def test_hostile_names_and_messages_are_text():
    page = page_of(broken(), title=HOSTILE)
    elements = Elements(page)

    assert elements.open == []
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 3
    assert "img" not in tags
    assert not [
        key for _, attributes in elements.found for key in attributes if key.startswith("on")
    ]
    shown = HOSTILE.replace("\ud800", "?")
    assert shown in elements.texts["code"]
    data = json.loads(elements.texts["script"][0])
    assert data["map"]["names"][0] == shown


def test_it_says_which_parameter_when_and_what_to_do():
    words = "Lower the learning rate."
    said = finding("nonfinite_streak", "critical", recommendation=words)
    steps = [recorded.step(n) for n in range(8)]
    steps += [
        recorded.step(n, bad=[0, 1], last_clean="out.weight", findings=(said,)) for n in (8, 9)
    ]
    page = page_of(recorded.run(*steps), title="run")

    verdict = page.partition("<dl")[0].rpartition("<h1>")[2]
    assert "Broke at step 8" in verdict
    assert "for 2 steps, to the end of the log" in verdict
    assert "<code>mid.weight</code> went bad first" in verdict
    assert "<code>out.weight</code>" in verdict
    assert words in verdict


def test_what_it_advises_without_a_check_is_there():
    page = page_of(recorded.run(recorded.step(0, bad=[0]), recorded.step(1)), title="run")

    advised = re.findall(r"<code>gradcore\.([\w.]+)\(", page.partition("<dl")[0])
    assert advised == ["monitors.trace_nonfinite"]
    assert callable(operator.attrgetter(*advised)(gradcore))


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([reports.report(0)], "Nothing wrong was seen"),
        ([reports.report(0, findings=(finding("spike", "warning"),))], "warning: spike"),
        ([reports.report(0, loss=math.inf), reports.report(1)], "The loss was not finite"),
        ([recorded.step(3, bad=[0]), recorded.step(4)], "Not finite at step 3"),
    ],
)
def test_the_worst_that_happened_comes_first(steps, words):
    assert words in page_of(recorded.run(*steps), title="run").partition("<dl")[0]


def test_it_says_what_was_left_out():
    run = recorded.run(*(recorded.step(n) for n in range(150)))
    page = page_of(run, title="run")
    assert "Map: 3 parameters, 100 steps of 150 in the log." in page

    bare = page_of(recorded.run(reports.report(0)), title="run")
    assert "The reports tell nothing of single parameters" in bare


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "run.html"
    path.mkdir()

    with pytest.raises(OSError, match="run.html"):
        write_page(broken(), path, title="run")
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_whose_checks_found_nothing_is_not_told_that_it_had_none():
    """The log does not tell whether there were any."""
    page = page_of(recorded.run(recorded.step(0, [1.0, 2.0, 3.0])), title="run")

    assert "Nothing. If the guard of this run had no checks, nothing could be found" in page
