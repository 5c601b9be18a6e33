"""All cases by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import one_process
import replicas
import scaled
import shards

if TYPE_CHECKING:
    from case import Case

TABLES: Final = {
    "one process": one_process.CASES,
    "shards": shards.CASES,
    "replicas": replicas.CASES,
    "scaled": scaled.CASES,
}

CASES: Final[dict[str, type[Case]]] = {
    case.__name__: case for cases in TABLES.values() for case in cases
}
