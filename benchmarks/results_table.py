"""The results table: every baseline trained with several seeds, tested once, and what came of it kept.

    python benchmarks/results_table.py speech_commands_v1_10 --data data --runs runs --jobs 2

trains each baseline for `--epochs` epochs by its own recipe with the seeds 0, 1 and 2 (one that stops early by its recipe
may do so), on one thread each, lets it predict the test split, scores that, and writes into
`benchmarks/results/NAME/seed_N/` its log, its card and its scores. It can be killed at any time; the same command
goes on where it was. What is finished is not done again; `benchmarks/baseline_entries.py` makes entries of the best.

    python benchmarks/results_table.py speech_commands_v1_10 --table

prints the table of the README from those files alone, without training.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import statistics
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import kwsbench, parser_on_runs

from kwsbench.baseline import is_torch, load_baseline
from kwsbench.catalogue import baseline_paths
from kwsbench.files import replacing

RESULTS = Path(__file__).parent / "results"
EPOCHS, NUM_SEEDS = 40, 3

COLUMNS = (
    "baseline",
    "parameters",
    "MACs",
    "weight bytes",
    "accuracy",
    "macro FRR",
    "macro FAR",
    "test errors",
    "epochs",
    "training",
)


@dataclass(frozen=True)
class Run:
    """One training: a baseline with a seed, and where everything of it lies."""

    baseline: str
    seed: int
    manifest: str
    data: Path
    runs: Path
    epochs: int

    @property
    def work(self) -> Path:
        """Where it is trained; not committed."""
        return self.runs / self.baseline / f"seed_{self.seed}"

    @property
    def log(self) -> Path:
        """What the commands said; not committed either."""
        return self.work / "commands.log"

    @property
    def kept(self) -> Path:
        """What is committed of it."""
        return RESULTS / self.baseline / f"seed_{self.seed}"

    @property
    def model(self) -> Path:
        """The trained model."""
        is_network = is_torch(load_baseline(self.baseline))
        return self.work / ("model.pt" if is_network else "model.txt")


def main() -> None:
    """Trains what is missing, or prints the table."""
    arguments = _arguments()
    names = arguments.baselines or list(baseline_paths())
    if not arguments.table:
        _train_all(names, arguments)
    print(table(names, arguments.manifest))


def _arguments() -> argparse.Namespace:
    parser = parser_on_runs(__doc__)
    parser.add_argument("baselines", nargs="*", help="default: all")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seeds", type=int, default=NUM_SEEDS)
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side, of one thread each")
    parser.add_argument("--table", action="store_true", help="only print the table")
    return parser.parse_args()


def _train_all(names: Sequence[str], arguments: argparse.Namespace) -> None:
    runs = [
        Run(name, seed, arguments.manifest, arguments.data, arguments.runs, arguments.epochs)
        for name in names
        for seed in range(arguments.seeds)
    ]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(_finish, runs))


def _finish(run: Run) -> None:
    """Does what is missing of a run; the test split is looked at once, when it is trained."""
    if (run.kept / "score.json").exists():
        return
    run.work.mkdir(parents=True, exist_ok=True)
    _train(run)
    predictions, scores = run.work / "preds.csv", run.work / "scores"
    on_test = ["--manifest", run.manifest, "--split", "test", "--data", str(run.data)]
    kwsbench("predict", str(run.model), *on_test, "-o", str(predictions), log=run.log)
    kwsbench("score", str(predictions), *on_test, "--out", str(scores), log=run.log)
    _keep(run, json.loads((scores / "score.json").read_text()))


def _train(run: Run) -> None:
    options = ["--manifest", run.manifest, "--data", str(run.data), "--seed", str(run.seed), "--threads", "1"]
    if is_torch(load_baseline(run.baseline)):
        options += ["--epochs", str(run.epochs), "--device", "cpu", "-o", str(run.work)]
    elif run.model.exists():
        return
    else:
        options += ["-o", str(run.model)]
    kwsbench("train", run.baseline, *options, log=run.log)


def _keep(run: Run, score: dict[str, Any]) -> None:
    """Keeps what is small: the log, the card, and the scores without the points of their curves."""
    run.kept.mkdir(parents=True, exist_ok=True)
    for name in ("log.csv", "card.md"):
        if (run.work / name).exists():
            shutil.copyfile(run.work / name, run.kept / name)
    budget = _budget(run)
    record = {key: value for key, value in score.items() if key != "det"} | {"budget": budget}
    with replacing(run.kept / "score.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")


def _budget(run: Run) -> dict[str, Any]:
    """Parameters, MACs and weight bytes, as `check-budget` counts them."""
    report = json.loads(kwsbench("check-budget", str(run.model), "--json", log=run.log, may_fail=True))
    return {key: report[key] for key in ("params", "macs", "weight_bytes")}


def table(names: Iterable[str], manifest: str) -> str:
    """Returns the table in Markdown, the most accurate baseline first; what was not run is not in it."""
    rows = [row for row in (_row(name, manifest) for name in names) if row]
    lines = [COLUMNS, ["---", *("---:" for _ in COLUMNS[1:])], *(cells for _, cells in sorted(rows, reverse=True))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str, manifest: str) -> tuple[float, list[str]] | None:
    folders = [path.parent for path in sorted((RESULTS / name).glob("seed_*/score.json"))]
    scores = [json.loads((folder / "score.json").read_text()) for folder in folders]
    scores = [score for score in scores if score["manifest"] == manifest]
    if len(scores) < NUM_SEEDS:
        return None
    figures = [score["summary"] for score in scores]
    budget = scores[0]["budget"]
    accuracy = [100 * each["accuracy"]["value"] for each in figures]
    errors = [each["accuracy"]["total"] - each["accuracy"]["count"] for each in figures]
    cells = [
        f"`{name}`",
        *(f"{budget[key]:,}" if budget[key] else "" for key in ("params", "macs", "weight_bytes")),
        _spread(accuracy),
        *(_spread([100 * each[key]["value"] for each in figures]) for key in ("macro_frr", "macro_far")),
        f"{statistics.fmean(errors):.1f}",
        *_lengths(folders),
    ]
    return statistics.fmean(accuracy), cells


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}"


def _seconds_of_epochs(folder: Path) -> list[float]:
    if not (folder / "log.csv").exists():
        return []
    with (folder / "log.csv").open() as log:
        return [float(row["seconds"]) for row in csv.DictReader(log)]


def _lengths(folders: Iterable[Path]) -> tuple[str, str]:
    """Epochs of the runs, and minutes of one: so many epochs as long as the median one, since machines are shared."""
    seconds = [epochs for epochs in map(_seconds_of_epochs, folders) if epochs]
    if not seconds:
        return "", ""
    minutes = statistics.fmean(len(epochs) * statistics.median(epochs) / 60 for epochs in seconds)
    return " / ".join(map(str, dict.fromkeys(map(len, seconds)))), f"{minutes:.0f} min"


if __name__ == "__main__":
    main()
