"""When the host received entries, where that is written down: a team's own clock is a team's own word."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from kwsbench.errors import InputError, Problem, ProblemLog, reason_of
from kwsbench.submission.names import parse_key, quoted

COLUMNS = ["key", "received"]
"""The header: `blue-owls/tc-small`, and a time with its offset."""

_MOST_BYTES = 16 << 20


def read_received(path: Path) -> dict[str, datetime]:
    """Reads a CSV of times by team and entry; the earliest counts where an entry is there twice.

    Raises:
        InputError: It cannot be read, or a row is not what it should be; every problem is named, with its line.
    """
    log = ProblemLog()
    times: dict[str, datetime] = {}
    for line, row in _rows(path):
        try:
            key, time = _parsed(row)
        except (ValueError, InputError) as error:
            found = quoted(",".join(row))
            log.add("row", Problem(f"{path}, line {line}", found, "TEAM/ENTRY,TIME", str(error).partition("\n")[0]))
            continue
        times[key] = min(time, times.get(key, time))
    if len(log):
        raise InputError(f"{path} cannot be used", log.problems())
    return times


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"cannot read {path}: it has more than {_MOST_BYTES:,} bytes")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {path}: it is not UTF-8 text") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}") from error
    if not lines or lines[0].split(",") != COLUMNS:
        found = quoted(lines[0]) if lines else "nothing"
        raise InputError(f"{path} cannot be used", [Problem(f"{path}, line 1", found, ",".join(COLUMNS))])
    yield from enumerate(csv.reader(lines[1:]), start=2)


def _parsed(row: list[str]) -> tuple[str, datetime]:
    if len(row) != len(COLUMNS):
        raise ValueError(f"{len(row)} fields, expected {len(COLUMNS)}")
    time = datetime.fromisoformat(row[1])
    if time.tzinfo is None:
        raise ValueError("the time says no offset, such as +01:00")
    return "/".join(parse_key(row[0])), time
