"""Finds the line of a TOML file that a field stands on, for messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_HEADER = re.compile(r"\s*\[\s*([\w.\"' -]+?)\s*\]\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*(?:=|\.)""")
_TEXT = re.compile("\"\"\"|'''")


def place_of(field: Sequence[str | int], text: str, where: str) -> str:
    r"""Names a file and, where just one line can be it, the line of a field or of the table that it is missing in.

    Args:
        field: Names from the outermost table inwards: `("late", "days")`.
        text: The TOML text.
        where: What the file is called.

    >>> place_of(("late", "days"), "[late]\ndays = 3\n", "competition.toml")
    'competition.toml, line 2'
    """
    names = [name for name in field if isinstance(name, str)]
    for length in range(len(names), 0, -1):
        lines = [number for number, path in _fields(text) if path == names[:length]]
        if lines:
            return f"{where}, line {lines[0]}" if len(lines) == 1 else where
    return where


def _fields(text: str) -> Iterator[tuple[int, list[str]]]:
    """The line of every table and key, with its path; lines inside of texts of several lines are left out."""
    table: list[str] = []
    inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        begins_inside, inside = inside, inside != bool(len(_TEXT.findall(line)) % 2)
        if begins_inside:
            continue
        if header := _HEADER.match(line):
            table = [part.strip(" \"'") for part in header[1].split(".")]
            yield number, table
        elif key := _KEY.match(line):
            yield number, [*table, key[1]]
