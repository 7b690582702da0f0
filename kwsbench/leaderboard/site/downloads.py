"""Everything as CSV and JSON. A cell that a spreadsheet would take for a formula is told to be text."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kwsbench import __version__
from kwsbench.leaderboard.board import Board, Entry
from kwsbench.leaderboard.site.figures import METRICS
from kwsbench.leaderboard.site.text import shown
from kwsbench.score.evaluate import Score
from kwsbench.score.tables import confusion_table, keyword_table, plain, summary_table

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MOST_POINTS = 80
_LONG_TEXT = 2_000

Table = Sequence[Sequence[Any]]


def csv_bytes(rows: Table) -> bytes:
    """Returns rows as CSV: NaN is an empty field, and text that could be a formula begins with an apostrophe."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[cell_of(value) for value in row] for row in rows])
    return text.getvalue().encode()


def cell_of(value: Any) -> Any:
    """Returns a value as a cell; a rate with six digits.

    >>> cell_of("=HYPERLINK(1)"), cell_of(-0.5), cell_of(float("nan")), cell_of(None)
    ("'=HYPERLINK(1)", '-0.5', '', '')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        text = shown(value, _LONG_TEXT)
        return f"'{text}" if text.startswith(_FORMULA) else text
    return value


def json_bytes(record: Mapping[str, Any]) -> bytes:
    """Returns a record as JSON in ASCII, so that no editor is misled by what a stranger wrote."""
    return (json.dumps(plain(record), separators=(",", ":"), allow_nan=False) + "\n").encode()


def entry_files(entry: Entry) -> dict[str, bytes]:
    """Returns the downloads of an entry, name to content."""
    score = entry.score
    tables = {
        "summary.csv": summary_table(score),
        "per_keyword.csv": keyword_table(score),
        "confusion.csv": confusion_table(score),
    }
    if score.det:
        tables["det.csv"] = _det_table(score)
    if layers := (entry.verification.report or {}).get("layers"):
        tables["layers.csv"] = _layer_table(layers)
    return {name: csv_bytes(rows) for name, rows in tables.items()} | {"entry.json": json_bytes(entry_record(entry))}


def _det_table(score: Score) -> list[list[Any]]:
    """The curve of each keyword: its ends and some points in between, enough for any plot."""
    rows: list[list[Any]] = [["keyword", "threshold", "frr", "far"]]
    for keyword, points in score.det.items():
        size = len(points.thresholds)
        if not size:
            continue
        kept = np.unique(np.linspace(0, size - 1, min(size, _MOST_POINTS)).round().astype(np.intp))
        columns = (column[kept].tolist() for column in points)
        rows += [[keyword, *point] for point in zip(*columns, strict=True)]
    return rows


def _layer_table(layers: Iterable[Mapping[str, Any]]) -> list[list[Any]]:
    names = ["name", "kind", "params", "macs", "weight_bytes"]
    return [names, *([layer.get(name) for name in names] for layer in layers)]


def entry_record(entry: Entry) -> dict[str, Any]:
    """Returns all that is known of an entry, its place aside, which is in `leaderboard.json`."""
    submission = entry.submission
    return {
        "kwsbench_version": __version__,
        "team": submission.team,
        "entry": submission.entry,
        "title": shown(submission.title),
        "members": [shown(name) for name in submission.members],
        "submitted": submission.submitted.isoformat(),
        "manifest": submission.manifest,
        "split": submission.split,
        "clips_sha256": submission.clips_sha256,
        "sha256": dict(submission.sha256),
        "num_parameters": entry.num_parameters,
        "macs": entry.macs,
        "weight_bytes": entry.weight_bytes,
        "score": _score_record(entry.score),
        "verification": entry.verification.to_json(),
    }


def _score_record(score: Score) -> dict[str, Any]:
    keywords = keyword_table(score)
    return {
        "num_clips": score.num_clips,
        "num_speakers": score.num_speakers,
        "keywords": list(score.labels[: score.num_keywords]),
        "background_labels": list(score.labels[score.num_keywords :]),
        "summary": {row[0]: dict(zip(_SUMMARY, row[1:], strict=True)) for row in summary_table(score)[1:]},
        "per_keyword": {row[0]: dict(zip(keywords[0][1:], row[1:], strict=True)) for row in keywords[1:]},
        "confusion": score.confusion.tolist(),
    }


_SUMMARY = ("value", "ci_low", "ci_high", "count", "total", "ci_method")


def board_table(board: Board) -> list[list[Any]]:
    """Returns the rows of `leaderboard.csv`, the header first."""
    main = board.rules.ranking.metric
    head = ["rank", "band", "team", "entry", "title", "is_baseline", f"ranked_by_{main}", "ci_low", "ci_high"]
    head += [
        *METRICS,
        "num_parameters",
        "macs",
        "weight_bytes",
        "verdict",
        "submitted",
        "late_days",
        "unranked_because",
    ]
    return [head, *map(_board_row, board.entries)]


def _board_row(entry: Entry) -> list[Any]:
    values = {figure.metric: figure.value for figure in entry.score.summary}
    submission, main = entry.submission, entry.main
    place = [entry.rank, entry.band, submission.team, submission.entry, submission.title, int(entry.is_baseline)]
    figures = [main.value, main.low, main.high, *(values.get(name) for name in METRICS)]
    costs = [entry.num_parameters, entry.macs, entry.weight_bytes]
    checked = [str(entry.verification.verdict), submission.submitted.isoformat(), entry.late_days]
    return [*place, *figures, *costs, *checked, entry.unranked_because]


def board_record(board: Board) -> dict[str, Any]:
    """Returns what `leaderboard.json` holds: the ranking, what was rejected, and what it is made from."""
    head, *rows = board_table(board)
    return {
        "kwsbench_version": __version__,
        "title": board.rules.title,
        "updated": board.updated.isoformat() if board.updated else None,
        "num_clips": board.num_clips,
        "hidden_clips": board.hidden_clips,
        "provenance": dict(board.provenance),
        "entries": [dict(zip(head, row, strict=True)) | {"title": shown(row[4])} for row in rows],
        "rejected": [{"key": one.key, "reasons": list(one.reasons)} for one in board.rejected],
    }
