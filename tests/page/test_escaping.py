"""Text and data stand in a page without a character that means something to HTML."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcore.page.escaping import json_in_html, text


@given(st.text())
def test_json_in_html_is_json_without_markup(value):
    written = json_in_html({value: [value]})

    assert json.loads(written) == {value: [value]}
    assert not set(written) & set("<>&")
    assert written.isascii()


@given(st.text())
def test_text_can_stand_in_elements_and_attributes(value):
    assert not set(text(value)) & set("<>\"'")


def test_what_json_does_not_have_is_an_error():
    with pytest.raises(ValueError, match="JSON"):
        json_in_html(float("nan"))
