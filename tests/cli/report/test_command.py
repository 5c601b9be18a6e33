"""``gradcore report`` draws a log beside it or where it is told to, and says what is wrong."""

from __future__ import annotations

import pytest
from matplotlib import image

import recorded
from gradcore.cli import main


@pytest.fixture
def path(tmp_path):
    return recorded.log(
        tmp_path / "run.jsonl", (recorded.step(n, bad=[1] if n == 5 else ()) for n in range(9))
    )


def test_the_suffix_says_which_picture(path, capsys):
    for suffix, magic in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        out = path.with_name(f"out{suffix}")
        assert main(["report", str(path), "-o", str(out)]) == 0
        assert out.read_bytes().startswith(magic)
        assert capsys.readouterr().out == f"{out}\n"


def test_a_picture_is_of_the_size_that_is_promised(path):
    main(["report", str(path), "-o", str(path.with_name("out.png"))])

    height, width, _ = image.imread(path.with_name("out.png")).shape
    assert (width, height) == (1650, 1870)


def test_without_a_suffix_it_is_a_page_beside_the_log(path, capsys):
    assert main(["report", str(path)]) == 0

    assert path.with_suffix(".html").read_text().startswith("<!DOCTYPE html>")
    assert capsys.readouterr().out == f"{path.with_suffix('.html')}\n"


@pytest.mark.parametrize("out", ["out.txt", "out", ".png"])
def test_other_suffixes_are_refused(path, out, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(path), "-o", out])

    assert "must end with one of" in capsys.readouterr().err


def test_a_damaged_line_is_named(path, capsys):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], b"{\n", *lines[4:]]))

    assert main(["report", str(path)]) == 1
    assert f"gradcore report: {path}, line 5 is damaged" in capsys.readouterr().err


def test_what_is_not_there_or_cannot_be_written_is_said(path, tmp_path, capsys):
    assert main(["report", str(tmp_path / "none.jsonl")]) == 1
    assert "none.jsonl" in capsys.readouterr().err

    out = tmp_path / "no" / "folder.png"
    assert main(["report", str(path), "-o", str(out)]) == 1
    assert "folder.png" in capsys.readouterr().err


def test_a_log_is_never_written_over(tmp_path, capsys):
    path = recorded.log(tmp_path / "run.html", [recorded.step(0)])
    before = path.read_bytes()

    assert main(["report", str(path)]) == 1
    assert "is the log itself" in capsys.readouterr().err
    assert path.read_bytes() == before
