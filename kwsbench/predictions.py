"""Predictions (`preds.csv`) and truths: read at the edge, held against what they should be, written.

The fast path reads with polars what is plain: no quotes but around whole fields of text, no stray carriage returns,
nothing missing. Where anything is unusual, `kwsbench.prediction_problems` reads the file again, line by line, and says where and what is wrong, or that
nothing is. Both follow the same rules: UTF-8 (with or without BOM), comma, LF or CRLF, one row per clip in any order,
exact labels, finite scores, everything else read as text.
"""

from __future__ import annotations

import csv
import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kwsbench.errors import InputError, Problem
from kwsbench.files import replacing
from kwsbench.prediction_problems import SCORE_PREFIX, TableRules, read_header, read_slowly

MAX_LABELS = 1000
"""Most labels that a truth table may have without a manifest; more come from a column that holds something else."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions in the order of the clips that they were asked for.

    Attributes:
        predicted: Code of the predicted label of each clip, an index into the labels, shape (clips,).
        scores: Scores of each label, higher = likelier, shape (clips,), or None where the file has none.
    """

    predicted: NDArray[np.int32]
    scores: tuple[NDArray[np.float64], ...] | None


def read_predictions(path: Path, clip_ids: pl.Series, labels: Sequence[str], id_column: str) -> Predictions:
    """Reads predictions for exactly the clips `clip_ids`.

    Args:
        path: The CSV: columns `id_column`, `label`, and optionally one `score_<label>` per label.
        clip_ids: Ids of the clips, each once; the result is in their order.
        labels: All labels; a prediction's code is the index into them.
        id_column: Name of the id column.

    Raises:
        InputError: The file cannot be read or is not what it should be; every problem is named, with its line.
    """
    rules = TableRules(id_column, tuple(labels), with_scores=True, ids=clip_ids)
    for table in _readings(path, rules):
        predictions = _predictions(table, rules, clip_ids)
        if predictions is not None:
            return predictions
    raise InputError(f"the ids that {path} is held against are not unique")


@dataclass(frozen=True, eq=False)
class Truth:
    """What the clips of a split really are.

    Attributes:
        clip_ids: Their ids, each once.
        labels: All labels, keywords first.
        num_keywords: How many of them are keywords.
        truth: Code of the true label of each clip, shape (clips,).
        speakers: Id of the speaker of each clip, empty where unknown.
    """

    clip_ids: pl.Series
    labels: tuple[str, ...]
    num_keywords: int
    truth: NDArray[np.int32]
    speakers: pl.Series


def read_truth(
    path: Path, *, labels: Sequence[str] | None, num_keywords: int, background: Sequence[str], id_column: str | None
) -> tuple[Truth, str]:
    """Reads a truth table: id column, `label`, and optionally `speaker_id`.

    Args:
        path: The CSV.
        labels: Labels that may appear, keywords first; None takes them from the table itself, where names that begin
            with `_` and those in `background` are background.
        num_keywords: How many of `labels` are keywords.
        background: Labels of the table that are background.
        id_column: Name of the id column; None takes the one column that is neither `label` nor `speaker_id`.

    Returns:
        The truth, and the name of its id column.

    Raises:
        InputError: As `read_predictions`; or `background` names a label that does not appear.
    """
    header = read_header(path)
    id_column = id_column or _only_other_column(path, header)
    rules = TableRules(id_column, tuple(labels) if labels is not None else None, optional=("speaker_id",))
    for table in _readings(path, rules):
        if _is_truth(table, rules):
            break
    if labels is None:
        labels, num_keywords = _labels_of(path, table["label"], background)
    codes = table["label"].cast(pl.Enum(list(labels))).to_physical().to_numpy().astype(np.int32)
    speakers = table["speaker_id"] if "speaker_id" in table.columns else pl.Series("speaker_id", [""] * len(table))
    return Truth(table[id_column], tuple(labels), num_keywords, codes, speakers), id_column


def write_predictions(
    path: Path, clip_ids: pl.Series, predicted: Sequence[str], scores: Mapping[str, NDArray[np.floating]] | None = None
) -> None:
    """Writes predictions whole or not at all.

    Args:
        path: The CSV to write.
        clip_ids: Ids of the clips; the name of the series is the name of the id column.
        predicted: The predicted label of each clip.
        scores: The scores of each label, shape (clips,); they are rounded to seven decimals.
    """
    columns = [clip_ids, pl.Series("label", predicted, dtype=pl.String)]
    for label, column in (scores or {}).items():
        columns.append(pl.Series(SCORE_PREFIX + label, np.round(column.astype(np.float64), 7)))
    with replacing(path) as temporary:
        pl.DataFrame(columns).write_csv(temporary)


def _readings(path: Path, rules: TableRules) -> Iterator[pl.DataFrame]:
    """The fast reading, where the file is plain, then the slow one, which raises where anything is wrong."""
    table = _read_fast(path, rules)
    if table is not None:
        yield table
    yield read_slowly(path, rules)


def _read_fast(path: Path, rules: TableRules) -> pl.DataFrame | None:
    header = read_header(path)
    if rules.header_problems(path, header) or not _is_plain(path, len(header)):
        return None
    types = {name: pl.Float64() if name in rules.score_columns else pl.String() for name in header}
    try:
        table = pl.read_csv(
            path,
            schema=types,
            n_rows=rules.most_rows,
            has_header=False,
            skip_rows=1,
            quote_char=None,
            empty_string_is_null=False,
            glob=False,
        )
    except pl.exceptions.PolarsError:
        return None
    if table.is_empty() or _is_ragged(path, table, header, rules):
        return None
    return _without_quotes(table) if _has_quotes(path) else table


def _is_plain(path: Path, num_columns: int) -> bool:
    """Whether newlines alone say where lines end: no NUL, no CR but before LF, and nothing behind the last field."""
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b"\0") >= 0 or re.search(rb"\r(?!\n)", content):
            return False
        # Of a last line without newline polars overlooks an empty field too many.
        last_line = content[content.rfind(b"\n") + 1 :]
        return not last_line or last_line.count(b",") == num_columns - 1


def _has_quotes(path: Path) -> bool:
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b'"') >= 0


def _without_quotes(table: pl.DataFrame) -> pl.DataFrame | None:
    """Takes the quotes off text that was split as if there were none; None where one is not around a whole field.

    A comma or a newline inside of quotes leaves fields with a quote at one end, so it comes out here.
    """
    for column in table.select(pl.col(pl.String)):
        num_quotes = column.str.count_matches('"', literal=True)
        if num_quotes.max():
            quoted = (num_quotes == 2) & column.str.starts_with('"') & column.str.ends_with('"')
            if not (quoted | (num_quotes == 0)).all():
                return None
            table = table.with_columns(column.str.strip_prefix('"').str.strip_suffix('"'))
    return table


def _is_ragged(path: Path, table: pl.DataFrame, header: Sequence[str], rules: TableRules) -> bool:
    """Whether a line may be short: polars fills what is missing with empty text, which is fine in optional columns only."""
    if header[-1] not in rules.optional or not (table[header[-1]] == "").any():
        return False
    with path.open("rb") as handle:
        commas = sum(block.count(b",") for block in iter(lambda: handle.read(1 << 22), b""))
    return commas != (len(table) + 1) * (len(header) - 1)


def _predictions(table: pl.DataFrame, rules: TableRules, clip_ids: pl.Series) -> Predictions | None:
    """The predictions in the order of the clips, or None where anything about them is wrong."""
    order = _order(table[rules.id_column], clip_ids)
    codes = table["label"].cast(pl.Enum(list(rules.labels or ())), strict=False)
    if order is None or codes.null_count():
        return None
    predicted = codes.to_physical().to_numpy().astype(np.int32)
    scores = table.select(name for name in rules.score_columns if name in table.columns)
    if not scores.width:
        return Predictions(predicted[order], None)
    if not all(column.null_count() == 0 and column.is_finite().all() for column in scores):
        return None
    arrays = tuple(column.to_numpy() for column in scores)
    return Predictions(predicted[order], tuple(array[order] for array in arrays))


def _is_truth(table: pl.DataFrame, rules: TableRules) -> bool:
    ids, found = table[rules.id_column], table["label"].unique().to_list()
    if rules.labels is not None:
        known = set(found) <= set(rules.labels)
    else:
        known = all(label and label == label.strip() for label in found)
    longest = table.select(pl.max_horizontal(pl.all().str.len_bytes().max())).item()
    return known and bool((ids != "").all()) and longest <= csv.field_size_limit() and _are_unique(ids)


def _are_unique(ids: pl.Series) -> bool:
    # Different hashes are several times faster to count, and prove different ids.
    return ids.hash().n_unique() == len(ids) or ids.n_unique() == len(ids)


def _order(found: pl.Series, wanted: pl.Series) -> NDArray[np.int64] | slice | None:
    """Row of each wanted id, or None where the ids are not exactly the wanted ones."""
    if len(found) != len(wanted):
        return None
    if (found == wanted).all():
        return slice(None)
    rows = pl.DataFrame({"id": found}).with_row_index("row")
    joined = pl.DataFrame({"id": wanted}).join(rows, on="id", how="left", maintain_order="left")["row"]
    if len(joined) != len(wanted) or joined.null_count():
        return None
    return joined.to_numpy().astype(np.int64)


def _only_other_column(path: Path, header: Sequence[str]) -> str:
    others = [name for name in header if name not in ("label", "speaker_id") and not name.startswith(SCORE_PREFIX)]
    if len(others) == 1:
        return others[0]
    expected = "one id column, `label`, and maybe `speaker_id`"
    remedy = "add this header" if "label" not in header else "remove the others, or name the manifest with --manifest"
    where, found = (
        f"{path}, line 1",
        f"{len(others)} columns that could be the id ({', '.join(others)[:200] or 'none'})",
    )
    raise InputError(f"{path} is no truth table", [Problem(where, found, expected, remedy)])


def _labels_of(path: Path, column: pl.Series, background: Sequence[str]) -> tuple[list[str], int]:
    found = sorted(column.unique().to_list())
    if len(found) > MAX_LABELS:
        problem = Problem(f"{path}, column label", f"{len(found):,} different labels", f"at most {MAX_LABELS:,}")
        raise InputError(f"{path} is no truth table", [problem])
    strange = sorted(set(background) - set(found))
    if strange:
        raise InputError(f"--background {', '.join(strange)}: no such label in {path}, which has: {', '.join(found)}")
    is_background = [label.startswith("_") or label in background for label in found]
    keywords = [label for label, back in zip(found, is_background, strict=True) if not back]
    if not keywords:
        raise InputError(f"{path} has no keyword: all of its labels are background ({', '.join(found)})")
    return keywords + [label for label, back in zip(found, is_background, strict=True) if back], len(keywords)
