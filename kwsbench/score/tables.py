"""The files of a score: CSVs and `score.json`. Equal input gives equal bytes; what is undefined is an empty field."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from kwsbench import __version__
from kwsbench.files import replacing_all
from kwsbench.score.evaluate import Figure, KeywordScore, Score

_RECORD = "score.json"


@dataclass(frozen=True)
class Provenance:
    """What a score was made from.

    Attributes:
        manifest: Name of the manifest, or None without one.
        revision: Its revision.
        split: The split that was scored.
        clips_sha256: SHA-256 of `clips.csv`, or of the truth table where there is no prepared data set.
        predictions_sha256: SHA-256 of the predictions.
    """

    manifest: str | None
    revision: int | None
    split: str | None
    clips_sha256: str
    predictions_sha256: str


def score_files(score: Score, provenance: Provenance, plots: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """Returns the files of a score, name to content: tables, `plots` where there are any, and `score.json`."""
    tables = {
        "summary.csv": summary_table(score),
        "per_keyword.csv": keyword_table(score),
        "confusion.csv": confusion_table(score),
        **({"det.csv": det_table(score)} if score.det else {}),
    }
    files = {name: _csv(rows).encode() for name, rows in tables.items()} | dict(plots or {})
    record = score_record(score, provenance) | {"files": [*files, _RECORD]}
    return files | {_RECORD: as_json(record).encode()}


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes files into a folder: all of them, or on any failure none, with what was there before unchanged.

    Files of an earlier score, as its `score.json` lists them, do not stay beside a score that has none of that name.
    """
    outdated = _files_of_earlier_score(folder) - files.keys()
    with replacing_all() as stage:
        for name, content in files.items():
            stage(folder / name).write_bytes(content)
    for name in outdated:
        (folder / name).unlink(missing_ok=True)


def _files_of_earlier_score(folder: Path) -> set[str]:
    try:
        listed = json.loads((folder / _RECORD).read_text(encoding="utf-8"))["files"]
        return {name for name in listed if Path(name).name == name and (folder / name).is_file()}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def summary_table(score: Score) -> list[list[Any]]:
    """Returns the rows of `summary.csv`, the header first."""
    return _records(score.summary, Figure)


def keyword_table(score: Score) -> list[list[Any]]:
    """Returns the rows of `per_keyword.csv`, the header first."""
    return _records(score.keywords, KeywordScore)


def confusion_table(score: Score) -> list[list[Any]]:
    """Returns the rows of `confusion.csv`, the header first: truth down, prediction across."""
    rows = [[label, *counts] for label, counts in zip(score.labels, score.confusion.tolist(), strict=True)]
    return [["truth", *score.labels], *rows]


def det_table(score: Score) -> list[list[Any]]:
    """Returns the rows of `det.csv`, the header first: the points of every keyword's curve, thresholds ascending."""
    rows: list[list[Any]] = [["keyword", "threshold", "frr", "far"]]
    for keyword, points in score.det.items():
        columns = (points.thresholds.tolist(), points.frr.tolist(), points.far.tolist())
        rows += [[keyword, *point] for point in zip(*columns, strict=True)]
    return rows


def score_record(score: Score, provenance: Provenance) -> dict[str, Any]:
    """Returns what `score.json` holds."""
    return {
        "kwsbench_version": __version__,
        **asdict(provenance),
        "num_clips": score.num_clips,
        "num_speakers": score.num_speakers,
        "keywords": list(score.labels[: score.num_keywords]),
        "background_labels": list(score.labels[score.num_keywords :]),
        "summary": {figure.metric: _without(asdict(figure), "metric") for figure in score.summary},
        "per_keyword": {row.keyword: _without(asdict(row), "keyword") for row in score.keywords},
        "confusion": {"labels": list(score.labels), "counts": score.confusion.tolist()},
        "det": {
            keyword: {"threshold": points.thresholds.tolist(), "frr": points.frr.tolist(), "far": points.far.tolist()}
            for keyword, points in score.det.items()
        },
    }


def as_json(record: Mapping[str, Any]) -> str:
    """Returns a record as JSON; NaN, which JSON does not have, becomes null, and infinity the text `inf`."""
    return json.dumps(plain(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """Returns a value as JSON can hold it: NaN becomes null, and infinity the text `inf`."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _without(record: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}


def _records(rows: Iterable[Figure] | Iterable[KeywordScore], kind: type[Figure | KeywordScore]) -> list[list[Any]]:
    names = [field.name for field in fields(kind)]
    return [names, *([getattr(row, name) for name in names] for row in rows)]


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue()


def _cell(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value
