"""The log of a run: JSON lines, one a step, described in ``docs/log-format.md``."""

from gradcore.logfile.appending import AppendedFile
from gradcore.logfile.decoder import Decoder
from gradcore.logfile.encoder import Encoder
from gradcore.logfile.format import START
from gradcore.logfile.reading import MAX_LINE, Log
from gradcore.logfile.table import LoggedTable
from gradcore.logfile.writing import write_log

__all__ = [
    "MAX_LINE",
    "START",
    "AppendedFile",
    "Decoder",
    "Encoder",
    "Log",
    "LoggedTable",
    "write_log",
]
