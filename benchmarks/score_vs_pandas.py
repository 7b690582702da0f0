"""Times `kwsbench score` against the same work in pandas and scikit-learn, as whole processes on the same files.

    python benchmarks/score_vs_pandas.py --rows 2000000 --labels 12 --rounds 3

Writes a truth (id, label, speaker) and predictions with one score per label to a temporary folder, then runs by turns:

- kwsbench: everything that `kwsbench score` writes, 95 % intervals included;
- pandas: the same tables without intervals, with pandas and scikit-learn, as one writes it;
- pandas-codes: the same with labels turned into integers first, because scikit-learn is slow on text.

Prints the median wall time of each, its ratio to kwsbench, and the most memory it held. Needs `kwsbench[bench]`.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from timing import side_by_side

KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
BACKGROUND = ("_unknown_", "_silence_")
NUM_SPEAKERS = 2000


@dataclass(frozen=True)
class Inputs:
    """Where the files lie that both sides read, and what to write into."""

    truth: Path
    predictions: Path
    out: Path


def main() -> None:
    """Makes the files, runs all sides by turns, prints the figures; or is a pandas side itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--labels", type=int, default=12, help="background labels included, at least 4")
    parser.add_argument("--rounds", type=int, default=3)
    for side in ("--pandas", "--pandas-codes"):
        parser.add_argument(side, nargs=3, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    files = options.pandas or options.pandas_codes
    if files:
        score_with_pandas(Inputs(*files), as_codes=bool(options.pandas_codes))
        return
    if options.labels < 4:
        parser.error("--labels must be at least 4")
    with tempfile.TemporaryDirectory() as folder:
        inputs = write_inputs(Path(folder), options.rows, options.labels)
        side_by_side(commands(inputs), options.rounds, warm_up=False)


def write_inputs(folder: Path, num_rows: int, num_labels: int) -> Inputs:
    """Writes a truth and softmax-like predictions, always the same ones."""
    generator = np.random.default_rng(0)
    more = tuple(f"word{number}" for number in range(num_labels - len(KEYWORDS) - len(BACKGROUND)))
    labels = np.array([*KEYWORDS[: num_labels - len(BACKGROUND)], *more, *BACKGROUND])
    truth, speaker = generator.integers(0, num_labels, num_rows), generator.integers(0, NUM_SPEAKERS, num_rows)
    speakers = np.array([f"{code:08x}" for code in generator.choice(2**32, NUM_SPEAKERS, replace=False)])
    parts = {"label": labels[truth], "speaker": speakers[speaker], "row": np.arange(num_rows)}
    paths = pl.DataFrame(parts).select(pl.format("{}/{}_nohash_0_{}.wav", "label", "speaker", "row"))["label"]
    scores = softmax_scores(generator, truth, num_labels)
    inputs = Inputs(folder / "truth.csv", folder / "preds.csv", folder / "out")
    pl.DataFrame({"path": paths, "label": labels[truth], "speaker_id": speakers[speaker]}).write_csv(inputs.truth)
    columns = {f"score_{label}": np.round(column, 7) for label, column in zip(labels, scores.T, strict=True)}
    pl.DataFrame({"path": paths, "label": labels[scores.argmax(1)], **columns}).write_csv(inputs.predictions)
    return inputs


def softmax_scores(generator: np.random.Generator, truth: np.ndarray, num_labels: int) -> np.ndarray:
    """Returns scores of a system that is right nine times out of ten, shape (rows, labels)."""
    logits = generator.normal(scale=1.5, size=(len(truth), num_labels))
    logits[np.arange(len(truth)), truth] += 5
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True)


def commands(inputs: Inputs) -> dict[str, list[str]]:
    """Returns each side's command line."""
    background = [word for label in BACKGROUND for word in ("--background", label)]
    score = ["score", inputs.predictions, "--truth", inputs.truth, *background, "--out", inputs.out / "kwsbench"]
    files = [inputs.truth, inputs.predictions, inputs.out / "pandas"]
    sides = {
        "pandas": [__file__, "--pandas", *files],
        "pandas-codes": [__file__, "--pandas-codes", *files],
        "kwsbench": ["-m", "kwsbench", *score],
    }
    return {side: [sys.executable, *map(str, words)] for side, words in sides.items()}


def score_with_pandas(inputs: Inputs, *, as_codes: bool) -> None:
    """Does what `kwsbench score` does, intervals excepted, with pandas and scikit-learn."""
    import pandas as pd
    from sklearn import metrics

    truth = pd.read_csv(inputs.truth, dtype=str, keep_default_na=False)
    text = {"path": str, "label": str}
    predictions = pd.read_csv(inputs.predictions, dtype=text, keep_default_na=False)
    table = truth.merge(predictions, on="path", suffixes=("", "_predicted"), validate="one_to_one")
    true, predicted = table["label"], table["label_predicted"]
    labels = values = sorted(true.unique())
    if as_codes:
        true, predicted = (pd.Categorical(column, labels).codes for column in (true, predicted))
        values = list(range(len(labels)))
    keywords = {value: label for value, label in zip(values, labels, strict=True) if label not in BACKGROUND}
    inputs.out.mkdir(parents=True, exist_ok=True)
    confusion = metrics.confusion_matrix(true, predicted, labels=values)
    counts = [[label, *row] for label, row in zip(labels, confusion, strict=True)]
    write_table(inputs.out / "confusion.csv", ["truth", *labels], counts)
    summary = {
        "accuracy": metrics.accuracy_score(true, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(true, predicted),
    }
    precision, recall, f1, support = metrics.precision_recall_fscore_support(true, predicted, labels=list(keywords))
    rows, points = [], []
    for (value, keyword), *figures in zip(keywords.items(), support, precision, recall, f1, strict=True):
        false_accepts, hits, thresholds = metrics.roc_curve(true == value, table[f"score_{keyword}"])
        misses = 1 - hits
        crossing = int(np.argmin(np.abs(misses - false_accepts)))
        eer = (misses[crossing] + false_accepts[crossing]) / 2
        rows.append([keyword, *figures, metrics.auc(false_accepts, hits), eer])
        step = max(1, len(thresholds) // 500)
        points += [
            [keyword, *point] for point in zip(thresholds[::step], misses[::step], false_accepts[::step], strict=True)
        ]
    write_table(inputs.out / "summary.csv", ["metric", "value"], [list(item) for item in summary.items()])
    write_table(
        inputs.out / "per_keyword.csv", ["keyword", "positives", "precision", "recall", "f1", "auc", "eer"], rows
    )
    write_table(inputs.out / "det.csv", ["keyword", "threshold", "frr", "far"], points)


def write_table(path: Path, header: list[str], rows: list[list[object]]) -> None:
    """Writes a CSV."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])


if __name__ == "__main__":
    main()
