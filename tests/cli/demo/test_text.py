"""The text is the standard library's, and what is held out is held out."""

from __future__ import annotations

import pytest
import torch

from gradcore.cli.demo.text import CHARACTERS, HELD_OUT, read_text, standard_library, windows


def test_the_standard_library_is_there_and_large_enough():
    text = read_text(standard_library())

    assert text.files > 100
    assert text.training.numel() > 1_000_000
    assert text.validation.numel() > 100_000


def test_characters_are_printable_ascii_newline_and_tab():
    assert set(CHARACTERS) == {chr(code) for code in range(32, 127)} | {"\n", "\t"}
    assert len(CHARACTERS) == 97


def test_every_tenth_file_is_held_out(tmp_path):
    for number in range(HELD_OUT + 1):
        (tmp_path / f"{number:02}.py").write_text(chr(ord("a") + number), encoding="utf-8")

    text = read_text(tmp_path)

    assert "".join(CHARACTERS[i] for i in text.training) == "bcdefghij"
    assert "".join(CHARACTERS[i] for i in text.validation) == "ak"


def test_other_characters_are_dropped(tmp_path):
    for number in range(HELD_OUT):
        (tmp_path / f"{number}.py").write_bytes("x\r\n\tÄy\x00".encode())

    text = read_text(tmp_path)

    assert "".join(CHARACTERS[i] for i in text.validation) == "x\n\ty"


def test_a_library_without_source_is_an_error_that_names_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"test_a_library.* should hold the \.py files"):
        read_text(tmp_path)


def test_windows_are_stretches_of_the_text():
    text = torch.arange(50, dtype=torch.uint8)

    drawn = windows(text, 200, 8, torch.Generator().manual_seed(0))

    assert drawn.shape == (200, 8)
    assert drawn.dtype == torch.int64
    assert drawn.diff(dim=1).eq(1).all()
    assert drawn.min() == 0
    assert drawn.max() == 49
