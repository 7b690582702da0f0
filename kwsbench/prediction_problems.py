"""Says what is wrong with a CSV of predictions or truths: line by line, slowly, all of it at once.

This reader is the authority on what such a CSV may be: UTF-8 (with or without BOM), commas, LF or CRLF, quotes as in
RFC 4180, as many fields on each line as in the header, no empty lines. `kwsbench.predictions` reads faster, and comes
here where anything is unusual.
"""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import polars as pl

from kwsbench.errors import InputError, Problem, ProblemLog, did_you_mean, reason_of

SCORE_PREFIX = "score_"
"""What the name of a score column begins with; the label follows."""

_SHOW = 60
_LONGEST_HEADER_BYTES = 1 << 20
_ROWS_AT_A_TIME = 100_000
_NUMBER = re.compile(r"[ \t]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t]*", re.ASCII)
_CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_BROKEN_LINES = {
    "unexpected end of data": ("a quote that is never closed", 'a closing " for every opening one'),
    "expected after": ("text after a closing quote", 'a comma after it, and "" for a quote inside of quotes'),
    "field limit": ("a field of very many characters", 'shorter ones; is there a " that is never closed?'),
    "new-line character": ("a carriage return inside of the line", "lines that end in LF or CRLF"),
}
"""What Python's csv module says, and what that means: found and expected."""


@dataclass(frozen=True)
class TableRules:
    """What a CSV must be.

    Attributes:
        id_column: Name of the id column.
        labels: Labels that may appear, or None for any.
        with_scores: One `score_<label>` column per label may be there (all of them or none).
        ids: The ids that must appear, each once, or None for any, each once.
        optional: Further columns that may be there.
    """

    id_column: str
    labels: tuple[str, ...] | None
    with_scores: bool = False
    ids: pl.Series | None = None
    optional: tuple[str, ...] = ()

    @property
    def score_columns(self) -> list[str]:
        """Names of the score columns."""
        return [SCORE_PREFIX + label for label in self.labels or ()] if self.with_scores else []

    @property
    def most_rows(self) -> int | None:
        """Rows that are looked at: a file with more than these is not for these ids, and no detail matters then."""
        return None if self.ids is None else 2 * len(self.ids) + _ROWS_AT_A_TIME

    def header_problems(self, path: Path, header: Sequence[str]) -> list[Problem]:
        """Returns what is wrong with the first line: missing, unknown and repeated columns."""
        where, needed = f"{path}, line 1", [self.id_column, "label"]
        if any(name.startswith(SCORE_PREFIX) for name in header):
            needed += self.score_columns
        allowed = [*needed, *self.optional]
        some_known = not set(header).isdisjoint(allowed)
        problems = []
        missing = [name for name in needed if name not in header]
        if missing:
            found = _cut(_columns(header)) if header else "an empty line"
            remedy = "" if some_known else f"the first line must be {','.join(needed)}"
            problems.append(Problem(where, found, f"{'also ' if some_known else ''}{_columns(missing)}", remedy))
        for name in dict.fromkeys(header):
            hint = did_you_mean(name, allowed)
            if name not in allowed and (some_known or hint):
                expected = f"only {_columns(allowed)}"
                problems.append(Problem(where, f"the unknown column {_quoted(name)}", expected, hint or "remove it"))
            if header.count(name) > 1:
                problems.append(Problem(where, f"the column {_quoted(name)} {header.count(name)} times", "once"))
        return problems


def read_header(path: Path) -> list[str]:
    """Returns the column names of a CSV, after checks that it is one.

    Raises:
        InputError: The file is missing, a folder, unreadable, empty, binary, UTF-16, separated by semicolons or tabs,
            or its lines end in CR alone.
    """
    start = _start_of(path)
    if not start.strip():
        size = "nothing but white space" if start else "0 bytes"
        raise InputError(f"{path} is empty", [Problem(str(path), size, "a header and one row per clip")])
    if _is_utf16(start):
        raise InputError(f"{path} is UTF-16 text; save it as UTF-8 (in Excel: `CSV UTF-8`)")
    line, newline, _ = start.removeprefix(codecs.BOM_UTF8).partition(b"\n")
    if _CONTROL_BYTES.search(line) or (not _is_utf8(line) and _CONTROL_BYTES.search(start)):
        raise InputError(f"{path} is a binary file, not a CSV; name the file with the predictions")
    if b"\r" in line.rstrip(b"\r"):
        raise InputError(f"{path} has lines that end in CR alone, as on old Macs; save it with LF or CRLF")
    if not newline and len(start) == _LONGEST_HEADER_BYTES:
        raise InputError(f"{path} is no CSV with a header: its first line is longer than {len(start):,} bytes")
    return _split_header(path, line.rstrip(b"\r"))


def _start_of(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(f"{path} is no regular file; it is read more than once, so write it to a file first")
        with path.open("rb") as handle:
            return handle.read(_LONGEST_HEADER_BYTES)
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}") from error


def _is_utf16(start: bytes) -> bool:
    """With a byte order mark, or without one where every other byte of what should be the header is 0."""
    even, odd = start[0:16:2], start[1:16:2]
    little, big = all(even) and not any(odd), all(odd) and not any(even)
    return (bool(odd) and (little or big)) or start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _split_header(path: Path, line: bytes) -> list[str]:
    if not _is_utf8(line):
        raise InputError(f"the first line of {path} is not UTF-8 text; save it as UTF-8")
    text = line.decode("utf-8")
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if separator in text and "," not in text:
            raise InputError(
                f"{path} is separated by {name}; save it with commas",
                [Problem(f"{path}, line 1", repr(_cut(text)), "columns with commas between them")],
            )
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        found, expected = _meaning(error)
        raise InputError(f"{path} has no readable header", [Problem(f"{path}, line 1", found, expected)]) from error


def read_slowly(path: Path, rules: TableRules) -> pl.DataFrame:
    """Reads the file line by line: scores as numbers, everything else as text.

    Args:
        path: The CSV.
        rules: What it must be.

    Raises:
        InputError: It is something else; everything that is wrong with it is named.
    """
    header = read_header(path)
    rows = _Rows(path, rules, header)
    problems = rules.header_problems(path, header) + rows.problems()
    if problems:
        total = sum(problem.count for problem in problems)
        raise InputError(f"{path} has {total:,} problem{'s' if total > 1 else ''}", problems)
    return rows.table()


class _Rows:
    """The slow reader: one pass over the lines, noting what breaks the rules."""

    def __init__(self, path: Path, rules: TableRules, header: list[str]) -> None:
        self._path, self._rules, self._header = path, rules, header
        self._log = ProblemLog()
        self._counts: Counter[str] = Counter()
        self._seen: dict[str, int] = {}
        self._wanted = frozenset(rules.ids) if rules.ids is not None else None
        self._scores = {name: header.index(name) for name in rules.score_columns if header.count(name) == 1}
        self._id_at = header.index(rules.id_column) if header.count(rules.id_column) == 1 else None
        self._label_at = header.index("label") if header.count("label") == 1 else None
        self._damaged_line = 0
        self._all_read = True

    def problems(self) -> list[Problem]:
        """Returns what is wrong with the rows; columns that the header does not have are not looked at."""
        if self._id_at is None and self._label_at is None:
            return []
        line = 1
        for number, (line, last_line, row) in enumerate(self._records(), 1):
            if number == self._rules.most_rows:
                return [self._excess(line), *self._log.problems()]
            self._check(line, row, is_damaged=line <= self._damaged_line <= last_line)
        if line == 1 and not len(self._log):
            self._note("empty", 1, "a header and no rows", "one row per clip")
        elif self._all_read:
            self._check_all_there()
        return self._log.problems()

    def table(self) -> pl.DataFrame:
        """Returns the rows of a file that has no problems."""
        types = {name: pl.Float64() if name in self._scores else pl.String() for name in self._header}
        parts = [pl.DataFrame(schema=types)]
        rows = (row for _, _, row in self._records())
        while part := list(islice(rows, _ROWS_AT_A_TIME)):
            columns = zip(self._header, zip(*part, strict=True), strict=True)
            parts.append(
                pl.DataFrame(
                    {
                        name: [float(text) for text in column] if name in self._scores else column
                        for name, column in columns
                    },
                    schema=types,
                )
            )
        return pl.concat(parts)

    def _records(self) -> Iterator[tuple[int, int, list[str]]]:
        """Yields the first and the last line of each row, and its fields."""
        with self._path.open("rb") as handle:
            reader = csv.reader(self._lines(handle), strict=True)
            while True:
                line = reader.line_num + 1
                try:
                    row = next(reader, None)
                except csv.Error as error:
                    self._note("broken", line, *_meaning(error))
                    if reader.line_num == line and "end of data" not in str(error):
                        continue
                    # Whether what follows is inside or outside of quotes, nobody knows.
                    self._all_read = False
                    return
                if row is None:
                    return
                if line > 1:
                    yield line, reader.line_num, row

    def _lines(self, handle: BinaryIO) -> Iterator[str]:
        """Yields the lines as text, and notes bytes that are none; rows with those are not checked further."""
        for number, raw in enumerate(handle, 1):
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                found = f"bytes that are not UTF-8 text ({raw[error.start : error.end]!r})"
                self._note_damage("encoding", number, found, "UTF-8", "save the file as UTF-8")
                text = raw.decode("cp1252", errors="replace")
            if "\0" in text:
                self._note_damage("nul", number, "NUL bytes", "text", "the file is damaged: write it again")
                text = text.replace("\0", "")
            if '"' not in text and "\r" in text.rstrip("\r\n"):
                self._note_damage("carriage return", number, *_BROKEN_LINES["new-line character"])
                text = text.replace("\r", "")
            yield text

    def _note_damage(self, kind: str, line: int, found: str, expected: str, remedy: str = "") -> None:
        self._damaged_line = line
        self._note(kind, line, found, expected, remedy)

    def _excess(self, line: int) -> Problem:
        # Lines, because counting them is all that a file of any size allows.
        with self._path.open("rb") as handle:
            rows = sum(block.count(b"\n") for block in iter(lambda: handle.read(1 << 22), b"")) - 1
        expected = f"{len(self._wanted or ()):,} rows, one per clip"
        remedy = f"is it another split or data set? (nothing from line {line:,} on was looked at)"
        return Problem(str(self._path), f"about {rows:,} rows", expected, remedy)

    def _check(self, line: int, row: Sequence[str], *, is_damaged: bool) -> None:
        if is_damaged or len(row) != len(self._header):
            if not is_damaged:
                self._note_fields(line, row)
            # Its id still counts as there, so that one bad line is one problem.
            if self._id_at is not None and self._id_at < len(row):
                self._seen.setdefault(row[self._id_at], line)
            return
        if self._id_at is not None:
            self._check_id(line, row[self._id_at])
        if self._label_at is not None:
            self._check_label(line, row[self._label_at])
        for column, place in self._scores.items():
            if not _is_finite_number(row[place]):
                self._note_score(line, column, row[place])

    def _note_fields(self, line: int, row: Sequence[str]) -> None:
        found = f"{len(row)} field{'s' if len(row) > 1 else ''}" if row else "an empty line"
        remedy = "complete the line or remove it" if row else "remove it"
        if len(row) > len(self._header):
            remedy = 'is there a comma inside of a field? then put the field in "quotes"'
        self._note("fields", line, found, f"{len(self._header)} fields as in the header", remedy)

    def _check_id(self, line: int, clip_id: str) -> None:
        first = self._seen.setdefault(clip_id, line)
        named = f"{self._rules.id_column} {_quoted(clip_id)}"
        if first != line:
            self._note("twice", line, f"{named} again (first on line {first})", "each clip once", "remove one of them")
        elif self._wanted is None:
            if not clip_id:
                self._note("no id", line, f"no {self._rules.id_column}", "the id of a clip")
        elif clip_id not in self._wanted:
            near = next((other for other in _similar(clip_id) if other in self._wanted), None)
            remedy = f"did you mean {near!r}?" if near else "is it another split or data set?"
            self._note("unknown id", line, named, "the id of a clip of this split", remedy)

    def _check_label(self, line: int, label: str) -> None:
        labels = self._rules.labels
        if labels is not None and label not in labels:
            # Looking for what was meant is slow, and beyond the first few nobody sees it.
            hint = did_you_mean(label[:_SHOW], labels) if self._counts["label"] < self._log.keep else ""
            self._note("label", line, f"label {_quoted(label)}", _one_of(labels), hint)
        elif not label:
            self._note("label", line, "no label", "a label")
        elif labels is None and label != label.strip():
            self._note("label", line, f"label {_quoted(label)}", "a label without spaces around it")

    def _note_score(self, line: int, column: str, text: str) -> None:
        found = f"{column} {_quoted(text)}" if text else f"no {column}"
        remedy = "write decimals with a dot" if _is_finite_number(text.replace(",", ".", 1)) else ""
        self._note("score", line, found, "a finite number", remedy)

    def _check_all_there(self) -> None:
        if self._rules.ids is None or self._id_at is None:
            return
        for clip_id in self._rules.ids:
            if clip_id not in self._seen:
                found = f"no row for {self._rules.id_column} {_quoted(clip_id)}"
                self._log.add("missing", Problem(str(self._path), found, "one row per clip", "add the row"))

    def _note(self, kind: str, line: int, found: str, expected: str, remedy: str = "") -> None:
        self._counts[kind] += 1
        self._log.add(kind, Problem(f"{self._path}, line {line}", found, expected, remedy))


def _meaning(error: csv.Error) -> tuple[str, str]:
    known = (meaning for message, meaning in _BROKEN_LINES.items() if message in str(error))
    return next(known, (f"text that is no CSV ({error})", "fields with commas between them"))


def _is_finite_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


def _similar(clip_id: str) -> Iterator[str]:
    """What was meant, perhaps: without spaces, with slashes, not read as a number, without the folder above."""
    plain = clip_id.strip().replace("\\", "/").removeprefix("./")
    yield plain
    yield plain.removesuffix(".0")
    yield plain.partition("/")[2]


def _one_of(labels: Sequence[str]) -> str:
    return f"one of {', '.join(labels)}" if len(labels) <= _SHOW else f"one of the {len(labels):,} labels"


def _columns(names: Sequence[str]) -> str:
    return f"the column{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _quoted(text: str) -> str:
    return repr(_cut(text))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOW else text[:_SHOW] + "…"
