"""What each idea in a baseline brings on validation: it as it is, and with one thing changed, trained alike.

    python benchmarks/ideas.py fold_resnet speech_commands_v1_10 attention=4 hop=2 --teacher MODEL --data data --jobs 2

trains the baseline and one variant for each idea for `--epochs` epochs on one thread, and prints the validation accuracy
and cross-entropy of the last epoch, which no choice among epochs has flattered, with what `check-budget` counts. The test
split is not looked at. It can be killed at any time; the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from commands import kwsbench, parser_on_runs


@dataclass(frozen=True)
class Variant:
    """A baseline with something changed.

    Attributes:
        name: What is changed, in words; also the name of its folder.
        words: The options of `kwsbench train` that change it.
    """

    name: str
    words: tuple[str, ...] = ()


def main() -> None:
    """Trains what is missing and prints the table."""
    arguments = _arguments()
    variants = [Variant("as it is")]
    variants += [Variant(idea, ("--set", idea)) for idea in arguments.ideas]
    variants += [Variant(f"recipe {idea}", ("--recipe", idea)) for idea in arguments.recipe]
    teachers = [word for path in arguments.teacher for word in ("--teacher", str(path))]
    variants += [Variant("taught", tuple(teachers))] if teachers else []
    tasks = [(variant, seed) for seed in range(arguments.seeds) for variant in variants]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda task: _train(*task, arguments), tasks))
    print("| change | parameters | MACs | accuracy | cross-entropy |\n|---|---:|---:|---:|---:|")
    for variant in variants:
        print(f"| {' | '.join(_row(variant, arguments))} |")


def _arguments() -> argparse.Namespace:
    parser = parser_on_runs(__doc__, "baseline")
    parser.add_argument("ideas", nargs="*", metavar="KEY=VALUE", help="a change of the configuration each")
    parser.add_argument(
        "--recipe", action="append", default=[], metavar="KEY=VALUE", help="a change of the recipe each"
    )
    parser.add_argument(
        "--teacher", action="append", default=[], type=Path, help="a checkpoint to learn from, or several"
    )
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side, of one thread each")
    return parser.parse_args()


def _folder(variant: Variant, seed: int, arguments: argparse.Namespace) -> Path:
    runs: Path = arguments.runs
    return runs / f"ideas_{arguments.epochs}" / arguments.baseline / variant.name.replace(" ", "_") / f"seed_{seed}"


def _train(variant: Variant, seed: int, arguments: argparse.Namespace) -> None:
    folder = _folder(variant, seed, arguments)
    folder.mkdir(parents=True, exist_ok=True)
    data = ("--manifest", arguments.manifest, "--data", str(arguments.data))
    how = ("--seed", str(seed), "--epochs", str(arguments.epochs), "--threads", "1", "--device", "cpu")
    log = folder / "commands.log"
    kwsbench("train", arguments.baseline, *data, *how, *variant.words, "-o", str(folder), log=log)


def _row(variant: Variant, arguments: argparse.Namespace) -> Iterable[str]:
    folders = [_folder(variant, seed, arguments) for seed in range(arguments.seeds)]
    logs = [list(csv.DictReader((folder / "log.csv").open())) for folder in folders]
    accuracy, loss = (
        statistics.fmean(float(log[-1][name]) for log in logs) for name in ("validation_accuracy", "validation_loss")
    )
    budget = json.loads(kwsbench("check-budget", str(folders[0] / "model.pt"), "--json", may_fail=True))
    return variant.name, f"{budget['params']:,}", f"{budget['macs']:,}", f"{100 * accuracy:.2f} %", f"{loss:.4f}"


if __name__ == "__main__":
    main()
