"""A log is read line by line, up to its last whole line, and anything else is an error."""

from __future__ import annotations

import tracemalloc

import pytest

import reports
from gradcore import LogError
from gradcore.logfile import MAX_LINE, Encoder, Log


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


def text_of(*norms):
    encoder = Encoder()
    steps = [
        reports.report(step=i, norm=norm, parameters=reports.table("ab", [norm, 2.0]))
        for i, norm in enumerate(norms)
    ]
    return (encoder.run() + "".join(map(encoder.step, steps))).encode()


def norms(path):
    return [report.norm for report in Log(path)]


def test_a_log_can_be_read_twice(path):
    path.write_bytes(text_of(1.0, 2.0))

    log = Log(path)
    assert [r.norm for r in log] == [r.norm for r in log] == [1.0, 2.0]
    assert (log.decoder.runs, log.decoder.lines) == (1, 4)


def test_however_a_last_line_is_torn_the_rest_is_read(path):
    """Cut after every byte of the file: what is read are the steps whose lines are whole."""
    whole = text_of(1.0, 2.0)
    ends = [i for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        # Only the line break itself may be missing.
        assert norms(path) == [1.0, 2.0][: max(0, sum(end <= length for end in ends) - 2)]


def test_zeros_that_a_loss_of_power_left_at_the_end_are_a_torn_line(path):
    path.write_bytes(text_of(1.0) + bytes(4096))

    assert norms(path) == [1.0]


def test_a_damaged_line_within_is_an_error_and_so_is_a_last_one_that_is_whole(path):
    whole = text_of(1.0, 2.0)
    path.write_bytes(whole.replace(b'"step":0,', b'"step":0,,'))
    with pytest.raises(LogError, match=r"run\.jsonl, line 3 is damaged"):
        norms(path)

    path.write_bytes(whole + b'{"type":"step"\n')
    with pytest.raises(LogError, match=r"run\.jsonl, line 5 is damaged"):
        norms(path)


@pytest.mark.parametrize("content", [b"step,norm\n1,2\n", b"\x89PNG\r\n", b"no line break", b"\0"])
def test_a_file_that_is_no_log_is_an_error(path, content):
    path.write_bytes(content)

    with pytest.raises(LogError, match="not a log of gradcore"):
        norms(path)


def test_a_line_without_end_is_not_read_into_memory(path):
    """A sparse file of a terabyte that holds no line break."""
    path.write_bytes(text_of(1.0) + b'{"type":"step",')
    with path.open("r+b") as file:
        file.truncate(1 << 40)

    tracemalloc.start()
    try:
        with pytest.raises(LogError, match="line 4 is damaged: it is longer than 64 MiB"):
            norms(path)
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_LINE
    finally:
        tracemalloc.stop()


def test_one_value_that_stands_for_all_parameters_is_not_spread_out(path):
    """10,000 short steps about 10,000 parameters would be 10^8 rows."""
    encoder = Encoder()
    table = reports.table([str(i) for i in range(10_000)], [1.0] * 10_000)
    steps = [reports.report(step=i, parameters=table) for i in range(2)]
    head, *rest = (encoder.step(step) for step in steps)
    path.write_text(encoder.run() + head.replace('"step":0', '"step":1') + rest[0] * 10_000)

    tracemalloc.start()
    try:
        kept = list(Log(path))[-5000:]
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert kept[0].parameters[9999].norm == 1.0
