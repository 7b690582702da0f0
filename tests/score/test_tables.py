"""The files of a score, field by field against the design's table."""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import kwsbench
from kwsbench.predictions import Predictions, Truth
from kwsbench.score.evaluate import Bootstrap, Score, evaluate
from kwsbench.score.tables import Provenance, as_json, score_files, score_record, write_files

LABELS = ("yes", "on", "_unknown_")
PROVENANCE = Provenance("tiny", 3, "test", "c" * 64, "p" * 64)
SUMMARY = "metric,value,ci_low,ci_high,count,total,ci_method"
PER_KEYWORD = (
    "keyword,positives,false_rejects,frr,frr_low,frr_high,negatives,false_accepts,far,far_low,far_high,"
    "precision,recall,f1,auc,eer,frr_at_far_1pct,frr_at_far_01pct"
)


def _score(
    codes: Sequence[int], predicted: Sequence[int], *, with_scores: bool = True, labels: tuple[str, ...] = LABELS
) -> Score:
    scores = np.random.default_rng(len(codes)).normal(size=(len(labels), len(codes)))
    scores[np.asarray(codes), np.arange(len(codes))] += 1
    ids = pl.Series("path", [f"{row}.wav" for row in range(len(codes))])
    speakers = pl.Series("speaker_id", [f"{row % 7}" for row in range(len(codes))])
    truth = Truth(ids, labels, 2, np.asarray(codes, dtype=np.int32), speakers)
    predictions = Predictions(np.asarray(predicted, dtype=np.int32), tuple(scores) if with_scores else None)
    return evaluate(truth, predictions, Bootstrap(100))


def _ordinary(*, with_scores: bool = True) -> Score:
    random = np.random.default_rng(0)
    codes = random.integers(0, 3, 900)
    predicted = np.where(random.random(900) < 0.8, codes, random.integers(0, 3, 900))
    return _score(codes.tolist(), predicted.tolist(), with_scores=with_scores)


@pytest.fixture(scope="module")
def score() -> Score:
    """Nine hundred clips with scores."""
    return _ordinary()


@pytest.fixture(scope="module")
def files(score: Score) -> dict[str, bytes]:
    """Its files."""
    return score_files(score, PROVENANCE)


def _table(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))


def _records(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))


def test_files_and_columns_are_those_of_the_design(files: dict[str, bytes]) -> None:
    """There are five files, and each CSV begins with the header that the design fixes."""
    assert list(files) == ["summary.csv", "per_keyword.csv", "confusion.csv", "det.csv", "score.json"]
    headers = {name: content.split(b"\n", 1)[0].decode() for name, content in files.items()}
    assert headers["summary.csv"] == SUMMARY
    assert headers["per_keyword.csv"] == PER_KEYWORD
    assert headers["confusion.csv"] == "truth,yes,on,_unknown_"
    assert headers["det.csv"] == "keyword,threshold,frr,far"


def test_without_scores_there_is_no_det(score: Score) -> None:
    """Without scores `det.csv` is absent, the JSON's curves are empty, and the fields of the curves are empty."""
    files = score_files(_ordinary(with_scores=False), PROVENANCE)
    assert list(files) == ["summary.csv", "per_keyword.csv", "confusion.csv", "score.json"]
    for row in _records(files["per_keyword.csv"]):
        assert [row[name] for name in ("auc", "eer", "frr_at_far_1pct", "frr_at_far_01pct")] == [""] * 4
    assert [row["metric"] for row in _records(files["summary.csv"])] == [figure.metric for figure in score.summary[:8]]
    assert json.loads(files["score.json"])["det"] == {}


def test_the_summary_holds_every_figure(score: Score, files: dict[str, bytes]) -> None:
    """Each metric is one row, and its numbers are read back bit for bit; what a metric does not have is empty."""
    for row, figure in zip(_records(files["summary.csv"]), score.summary, strict=True):
        assert (row["metric"], row["ci_method"]) == (figure.metric, figure.ci_method)
        assert [float(row[name]) for name in ("value", "ci_low", "ci_high")] == [
            figure.value,
            figure.ci_low,
            figure.ci_high,
        ]
        found = (row["count"], row["total"])
        assert found == (("", "") if figure.total is None else (str(figure.count), str(figure.total)))


def test_keywords_hold_every_figure(score: Score, files: dict[str, bytes]) -> None:
    """Each keyword is one row, counts are whole numbers, and rates are read back bit for bit."""
    for row, keyword in zip(_records(files["per_keyword.csv"]), score.keywords, strict=True):
        assert row["keyword"] == keyword.keyword
        for name in ("positives", "false_rejects", "negatives", "false_accepts"):
            assert row[name] == str(getattr(keyword, name))
        for name in PER_KEYWORD.split(","):
            if name not in {"keyword", "positives", "false_rejects", "negatives", "false_accepts"}:
                assert float(row[name]) == getattr(keyword, name)


def test_the_confusion_table_adds_up(score: Score, files: dict[str, bytes]) -> None:
    """Rows are truths and columns predictions, in the order of the labels, and all clips are in it once."""
    header, *rows = _table(files["confusion.csv"])
    assert header[1:] == [row[0] for row in rows] == list(LABELS)
    assert [[int(cell) for cell in row[1:]] for row in rows] == score.confusion.tolist()


def test_det_is_thinned_and_keeps_its_ends(score: Score, files: dict[str, bytes]) -> None:
    """Each keyword has at most 500 points by rising threshold, from FRR 0, FAR 1 at the lowest score to inf, 1, 0."""
    rows = _table(files["det.csv"])[1:]
    for keyword, points in score.det.items():
        found = [[float(cell) for cell in row[1:]] for row in rows if row[0] == keyword]
        assert 100 < len(found) <= 500
        assert found[0][1:] == [0, 1]
        assert found[-1] == [math.inf, 1, 0]
        assert [point[0] for point in found] == sorted(point[0] for point in found)
        assert found == [list(point) for point in zip(*(column.tolist() for column in points), strict=True)]


def test_what_is_undefined_is_an_empty_field() -> None:
    """Without background and without clips of a keyword no field says 0, nan or None for what has no value."""
    files = score_files(_score([0, 0, 0], [0, 0, 0]), PROVENANCE)
    for name, content in files.items():
        if name.endswith(".csv"):
            cells = {cell.lower() for row in _table(content) for cell in row}
            assert not cells & {"nan", "none", "null", "na"}
    summary = {row["metric"]: row for row in _records(files["summary.csv"])}
    assert [summary["far"][name] for name in ("value", "ci_low", "ci_high", "count", "total")] == ["", "", "", "0", "0"]
    yes, on = _records(files["per_keyword.csv"])
    undefined = ["frr", "frr_low", "frr_high", "precision", "recall", "f1", "auc", "eer", "frr_at_far_1pct"]
    assert [on[name] for name in undefined] == [""] * 9
    assert (on["positives"], on["false_rejects"], on["far"]) == ("0", "0", "0.0")
    assert [yes[name] for name in ("far", "far_low", "far_high", "auc")] == [""] * 4
    assert _table(files["det.csv"]) == [["keyword", "threshold", "frr", "far"]]


def _no_constant(name: str) -> None:
    raise ValueError(name)


def test_json_holds_the_same_and_where_it_is_from(score: Score, files: dict[str, bytes]) -> None:
    """`score.json` names data, predictions and version, and holds every figure of the tables."""
    record = json.loads(files["score.json"], parse_constant=_no_constant)
    expected = {
        "manifest": "tiny",
        "revision": 3,
        "split": "test",
        "clips_sha256": "c" * 64,
        "predictions_sha256": "p" * 64,
    }
    assert {name: record[name] for name in expected} == expected
    assert record["kwsbench_version"] == kwsbench.__version__
    assert (record["num_clips"], record["num_speakers"]) == (900, 7)
    assert (record["keywords"], record["background_labels"]) == (["yes", "on"], ["_unknown_"])
    for figure in score.summary:
        assert record["summary"][figure.metric]["value"] == figure.value
        assert record["summary"][figure.metric]["ci_high"] == figure.ci_high
    assert record["per_keyword"]["on"]["eer"] == score.keywords[1].eer
    assert record["confusion"] == {"labels": list(LABELS), "counts": score.confusion.tolist()}
    assert record["det"]["yes"]["frr"] == score.det["yes"].frr.tolist()
    assert record["det"]["yes"]["threshold"][-1] == "inf"


def test_json_has_null_for_what_is_undefined() -> None:
    """NaN becomes null and infinity text, at any depth, because JSON has neither."""
    values: dict[str, Any] = {"a": math.nan, "b": [math.inf, -math.inf, (1.5, math.nan)], "c": {"d": None, "e": 0}}
    found = json.loads(as_json(values), parse_constant=_no_constant)
    assert found == {"a": None, "b": ["inf", "-inf", [1.5, None]], "c": {"d": None, "e": 0}}
    record = json.loads(as_json(score_record(_score([0, 0], [0, 0]), PROVENANCE)), parse_constant=_no_constant)
    assert record["summary"]["far"]["value"] is None
    assert record["per_keyword"]["on"]["auc"] is None
    assert record["det"]["on"] == {"threshold": [], "frr": [], "far": []}


def test_equal_input_gives_equal_bytes(files: dict[str, bytes]) -> None:
    """The same clips, predictions and seed give the same bytes in every file."""
    assert score_files(_ordinary(), PROVENANCE) == files


def test_any_label_survives_the_tables() -> None:
    """Labels with letters of any script, spaces and quotes are the same when read back, without a BOM."""
    labels = ("нет, да", 'say "on"', "_no_")
    files = score_files(_score([0, 1, 2], [0, 1, 1], labels=labels), PROVENANCE)
    assert _table(files["confusion.csv"])[0] == ["truth", *labels]
    assert [row["keyword"] for row in _records(files["per_keyword.csv"])] == list(labels[:2])
    assert "нет, да" in files["score.json"].decode("utf-8")
    assert not any(content.startswith(b"\xef\xbb\xbf") or b"\r" in content for content in files.values())


def test_files_are_written_into_a_new_folder(tmp_path: Path, files: dict[str, bytes]) -> None:
    """The folder is made, and holds the files and nothing else."""
    folder = tmp_path / "scores" / "preds"
    write_files(files, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


def test_outdated_files_of_an_earlier_score_do_not_stay(tmp_path: Path) -> None:
    """Curves and pictures of the last score go with it, and no file of somebody else's."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    write_files(score_files(_ordinary(), PROVENANCE, {"det.png": b"a picture"}), tmp_path)
    assert {"det.csv", "det.png"} <= {path.name for path in tmp_path.iterdir()}
    without = score_files(_ordinary(with_scores=False), PROVENANCE)
    write_files(without, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*without, "notes.txt"])
    (tmp_path / "det.csv").write_text("detectives\n", encoding="utf-8")
    write_files(without, tmp_path)
    assert (tmp_path / "det.csv").read_text(encoding="utf-8") == "detectives\n"


@pytest.mark.parametrize("listed", ['["../notes.txt", "/etc/hosts", "."]', "[1, null]", '"notes.txt"', "{}"])
def test_a_forged_list_of_files_removes_nothing_elsewhere(tmp_path: Path, listed: str) -> None:
    """What an earlier `score.json` lists is only ever a plain name in its own folder."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    folder = tmp_path / "scores"
    folder.mkdir()
    (folder / "score.json").write_text(f'{{"files": {listed}}}', encoding="utf-8")
    write_files(score_files(_ordinary(), PROVENANCE), folder)
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_failure_leaves_every_old_file(tmp_path: Path, files: dict[str, bytes]) -> None:
    """Where one file cannot be written none is replaced, and no temporary file stays."""
    write_files({"summary.csv": b"old"}, tmp_path)
    (tmp_path / "score.json").mkdir()
    with pytest.raises(kwsbench.errors.InputError, match=r"score\.json"):
        write_files(files, tmp_path)
    assert (tmp_path / "summary.csv").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["score.json", "summary.csv"]
