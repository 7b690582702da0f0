"""From clips to scores with the commands alone; equal input gives equal bytes, wherever and however it is run."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import CommandLine, Tiny

MODEL = "models/tiny/tiny.txt"
LABELS = ["low", "high", "да", "_unknown_"]
ELSEWHERE = {"TZ": "Asia/Kamchatka", "LC_ALL": "C", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1"}


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_preparing_shows_counts_and_the_hash_and_names_the_next_command(tiny: Tiny) -> None:
    """`data prepare` prints a count per split and label on stdout and the next command on stderr."""
    shown = tiny.ran["prepare"]
    assert [line.split() for line in shown.out.splitlines()[:-1]] == [
        ["tiny:", "clips", "train", "validation", "test"],
        ["low", "8", "4", "6"],
        ["high", "8", "4", "6"],
        ["да", "8", "4", "6"],
        ["_unknown_", "8", "4", "6"],
        ["all", "32", "16", "24"],
    ]
    assert "72 clips, sha256" in shown.out
    assert shown.err.splitlines() == ["Next: kwsbench train mfcc_lightgbm --manifest tiny"]


def test_the_next_command_that_training_names_works_as_it_is_printed(tiny: Tiny, kws: CommandLine) -> None:
    """`train` ends with a `predict` command that carries on the options it was given, and that works."""
    line = tiny.ran["train"].err.splitlines()[-1]
    assert line.startswith("Next: kwsbench predict models/tiny/tiny.txt --manifest tiny")
    ran = kws.works(*line.removeprefix("Next: kwsbench ").split())
    assert ran.err.splitlines()[-1] == "Next: kwsbench score preds.csv --manifest tiny --split test"
    assert kws.files()["preds.csv"] == (tiny.folder / "preds.csv").read_bytes()


def test_predictions_have_one_row_per_clip_and_one_score_per_label(tiny: Tiny) -> None:
    """`predict` writes id, label and scores for exactly the clips of the split, the label being the best score."""
    rows = _rows(tiny.folder / "preds.csv")
    assert list(rows[0]) == ["path", "label", *(f"score_{label}" for label in LABELS)]
    assert len(rows) == 24
    assert all(row["path"].startswith("test/") for row in rows)
    for row in rows:
        assert row["label"] == max(LABELS, key=lambda label: float(row[f"score_{label}"]))


def test_the_accuracy_is_that_of_a_count_by_hand(tiny: Tiny) -> None:
    """`summary.csv` holds the share of predictions whose label is the folder of the clip."""
    rows = _rows(tiny.folder / "preds.csv")
    right = sum(row["path"].split("/")[1] == row["label"] for row in rows)
    summary = {row["metric"]: row for row in _rows(tiny.folder / "scores/preds/summary.csv")}
    assert (summary["accuracy"]["count"], summary["accuracy"]["total"]) == (str(right), "24")
    assert 0.5 < right / 24 < 1, "a data set that is solved or not learnt tells little"


def test_training_and_predicting_again_gives_the_same_bytes(tiny: Tiny, kws: CommandLine, baselines: tuple) -> None:
    """Model and predictions do not depend on time zone, locale, hash seed or the number of threads."""
    train = ("train", "tiny", *baselines, "--manifest", "tiny", "--threads", "2")
    kws.works(*train, "-o", "again.txt", env=ELSEWHERE)
    kws.works("predict", "again.txt", *baselines, "--manifest", "tiny", "-o", "again.csv", env=ELSEWHERE)
    assert kws.files()["again.txt"] == (tiny.folder / MODEL).read_bytes()
    assert kws.files()["again.csv"] == (tiny.folder / "preds.csv").read_bytes()


def test_another_seed_or_setting_gives_another_model(kws: CommandLine, baselines: tuple) -> None:
    """`--seed` and `--set` reach the model file."""
    kws.works(
        *("train", "tiny", *baselines, "--manifest", "tiny", "-o", "other.txt"),
        *("--seed", "5", "--set", "num_leaves=3", "--set", "with_deviation=false"),
    )
    header = json.loads(kws.files()["other.txt"].decode().splitlines()[1].removeprefix("kwsbench="))
    assert header["seed"] == 5
    assert header["config"]["num_leaves"] == 3
    assert header["config"]["with_deviation"] is False
    assert header["config"]["learning_rate"] == 0.3


def test_scoring_again_gives_the_same_bytes(kws: CommandLine) -> None:
    """All files of a score, pictures included, do not depend on time zone, locale or hash seed."""
    kws.works("score", "preds.csv", "--plots", "--out", "one")
    kws.works("score", "preds.csv", "--plots", "--out", "two", env=ELSEWHERE)
    assert kws.files("one") == kws.files("two")
    assert {"summary.csv", "det.png", "confusion.svg"} <= set(kws.files("one"))


def test_the_order_of_rows_and_columns_changes_only_the_hash_of_the_predictions(kws: CommandLine) -> None:
    """Shuffled rows, moved columns, CRLF and a byte order mark give the same score."""
    header, *rows = (line.split(",") for line in (kws.folder / "preds.csv").read_text(encoding="utf-8").splitlines())
    rows.sort(key=lambda row: row[0][::-1])
    moved = [[row[place] for place in (5, 1, 3, 0, 2, 4)] for row in [header, *rows]]
    text = "\ufeff" + "".join(",".join(row) + "\r\n" for row in moved)
    (kws.folder / "moved.csv").write_bytes(text.encode())
    kws.works("score", "preds.csv", "--out", "one")
    kws.works("score", "moved.csv", "--out", "two")
    one, two = kws.files("one"), kws.files("two")
    records = [json.loads(files.pop("score.json")) for files in (one, two)]
    assert one == two
    assert records[0].pop("predictions_sha256") != records[1].pop("predictions_sha256")
    assert records[0] == records[1]


def test_preparing_again_elsewhere_gives_the_same_table(tiny: Tiny, kws: CommandLine) -> None:
    """`clips.csv` does not depend on where audio and data lie, nor on time zone, locale or file times."""
    moved = kws.folder / "moved" / "tiny_audio"
    shutil.copytree(tiny.audio, moved, copy_function=shutil.copy)
    manifest = tiny.folder / "data/tiny/manifest.toml"
    kws.works("data", "prepare", manifest, "--from", moved, "--data", "other", env=ELSEWHERE)
    assert kws.files("other")["tiny/clips.csv"] == (tiny.folder / "data/tiny/clips.csv").read_bytes()


def test_a_score_without_manifest_finds_the_prepared_one(kws: CommandLine) -> None:
    """`score` and `compare` without `--manifest` take the prepared data set whose ids match."""
    assert kws.works("score", "preds.csv", "--json").json["manifest"] == "tiny"
    assert kws.works("compare", "preds.csv", "preds.csv").out.startswith("tiny (revision 3), test split")


def test_a_sample_submission_is_valid_and_compares(kws: CommandLine) -> None:
    """What `data sample-submission` writes can be scored, and compared with a model that is better."""
    shown = kws.works("data", "sample-submission", "tiny", "--split", "test", "-o", "sample.csv")
    assert shown.out == "sample.csv: 24 clips of the test split, all labelled _unknown_\n"
    assert kws.works("score", "sample.csv", "--json").json["summary"]["accuracy"]["value"] == 0.25
    comparison = kws.works("compare", "sample.csv", "preds.csv", "--json").json
    assert comparison["accuracy_a"] == 0.25
    assert comparison["sentence"].startswith("preds is better than sample")


def test_verify_finds_nothing_then_a_changed_clip(tiny: Tiny, kws: CommandLine) -> None:
    """`data verify` exits 0 on what was prepared, and 1, naming the clip, after one byte of audio has changed."""
    moved = kws.folder / "moved"
    shutil.copytree(tiny.audio, moved)
    kws.works("data", "prepare", tiny.folder / "data/tiny/manifest.toml", "--from", moved)
    assert kws.works("data", "verify", "tiny").err == "72 clips are as they were prepared.\n"
    clip = moved / "test/low/ivan-0.wav"
    clip.write_bytes(clip.read_bytes()[:-1] + b"\x55")
    ran = kws("data", "verify", "tiny")
    assert ran.code == 1
    assert "damaged clips                              1" in ran.out
    assert ran.err.count("Error:") == 1
    assert "test/low/ivan-0.wav" in ran.err


def test_a_truth_table_scores_without_any_data(kws: CommandLine) -> None:
    """`--truth` scores and compares where nothing is prepared, with `--background` as said."""
    (kws.folder / "truth.csv").write_text("path,label\na,yes\nb,no\nc,other\n")
    (kws.folder / "p.csv").write_text("path,label\nb,no\na,no\nc,other\n")
    shutil.rmtree(kws.folder / "data")
    record = kws.works("score", "p.csv", "--truth", "truth.csv", "--background", "other", "--json").json
    assert record["keywords"] == ["no", "yes"]
    assert record["summary"]["accuracy"]["count"] == 2
    assert (kws.folder / "scores/p/summary.csv").is_file()
    assert Path(kws.works("compare", "p.csv", "p.csv", "--truth", "truth.csv", "--json").json["a"]).name == "p.csv"


def test_what_a_comparison_cannot_say_is_null_in_its_json(kws: CommandLine) -> None:
    """With a single clip there is no interval, and the output is still JSON, which knows no NaN."""
    (kws.folder / "truth.csv").write_text("path,label\na,yes\n")
    ran = kws.works("compare", "truth.csv", "truth.csv", "--truth", "truth.csv", "--json")
    assert ran.json["difference"]["low"] is None
    assert "NaN" not in ran.out
