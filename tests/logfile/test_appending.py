"""A file grows by whole lines, whatever befell it and its writers."""

from __future__ import annotations

import resource

import pytest

from gradcore import LogError
from gradcore.logfile import AppendedFile

START = b"#log\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "folder" / "run.log"


def opened(path, **options):
    return AppendedFile(path, START, **options)


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_new_file_is_made_with_its_folders_and_is_empty(path):
    file = opened(path)

    assert path.read_bytes() == b""
    assert file.renew()
    file.write("#log\n1\n")
    assert not file.renew()
    file.close()
    file.close()
    assert path.read_bytes() == b"#log\n1\n"


def test_what_is_written_is_in_the_file_at_once(path):
    file = opened(path)
    file.write("#log\n")

    assert path.read_bytes() == b"#log\n"


@pytest.mark.parametrize("torn", [b"2", b"x" * 200_000, b"\0" * 10])
def test_a_torn_last_line_is_removed(path, torn):
    put(path, b"#log\n1\n" + torn)

    opened(path).write("3\n")
    assert path.read_bytes() == b"#log\n1\n3\n"


def test_a_torn_first_line_too(path):
    put(path, b"#lo")

    assert opened(path).renew()
    assert path.read_bytes() == b""


def test_a_last_line_that_is_whole_gets_its_line_break(path):
    put(path, b"#log\n1")

    opened(path, is_whole=lambda line: line == b"1").write("2\n")
    assert path.read_bytes() == b"#log\n1\n2\n"


@pytest.mark.parametrize("content", [b"precious", b"#logs\n", b"\n", b"#log2\n1\n"])
def test_another_file_is_never_touched(path, content):
    put(path, content)

    with pytest.raises(LogError, match="Choose another path"):
        opened(path)
    assert path.read_bytes() == content


def test_a_new_file_is_begun_where_the_old_one_was_moved_away(path):
    file = opened(path)
    file.write("#log\n1\n")
    path.rename(path.with_name("old"))

    assert file.renew()
    file.write("#log\n2\n")
    assert path.with_name("old").read_bytes() == b"#log\n1\n"
    assert path.read_bytes() == b"#log\n2\n"
    assert not file.renew()


def test_a_file_that_was_emptied_is_begun_anew(path):
    file = opened(path)
    file.write("#log\n1\n")
    path.write_bytes(b"")

    assert file.renew()
    file.write("#log\n2\n")
    assert path.read_bytes() == b"#log\n2\n"


def test_no_room_is_an_error_and_the_part_that_was_written_is_removed_later(path):
    file = opened(path)
    file.write("#log\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            file.write("1234567890\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"#log\n123"

    opened(path).write("2\n")
    assert path.read_bytes() == b"#log\n2\n"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(FileExistsError):
        opened(tmp_path / "file" / "run.log")
