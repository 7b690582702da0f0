"""The kit's own entries: the best checkpoint of every torch baseline up to 100,000 parameters, as a team would hand it in.

    python benchmarks/baseline_entries.py speech_commands_v1_10 --data data --runs runs

takes of each baseline that `benchmarks/results_table.py` has run the seed that did best on the validation split, and
writes `submissions/baselines/NAME/`: `model.pt`, its predictions of the test split, a report made from the baseline's
docstring and the model's card, and the form. An entry whose model is the one that is there stays as it is.
"""

from __future__ import annotations

import csv
import inspect
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from commands import kwsbench, parser_on_runs
from results_table import RESULTS

from kwsbench.baseline import Baseline, is_torch, load_baseline
from kwsbench.files import sha256_of_file

ENTRIES = Path(__file__).parents[1] / "submissions" / "baselines"
MOST_PARAMETERS = 100_000


@dataclass(frozen=True)
class Best:
    """The seed of a baseline that did best on the validation split.

    Attributes:
        baseline: The baseline.
        name: What it is called.
        kept: Its log, card and scores.
        model: Its checkpoint.
        accuracies: Validation accuracy of each seed.
    """

    baseline: Baseline
    name: str
    kept: Path
    model: Path
    accuracies: tuple[float, ...]


def main() -> None:
    """Makes what is missing or has another model now."""
    arguments = parser_on_runs(__doc__).parse_args()
    for best in _all_best(arguments.runs):
        there = ENTRIES / best.name / "model.pt"
        if not there.exists() or sha256_of_file(there) != sha256_of_file(best.model):
            _enter(best, arguments.manifest, arguments.data)
            print(f"{there.parent}: from {best.kept.name}")


def _all_best(runs: Path) -> Iterator[Best]:
    for folder in sorted(RESULTS.iterdir()):
        baseline = load_baseline(folder.name)
        if not is_torch(baseline):
            continue
        accuracies = {seed: _validation_accuracy(seed) for seed in sorted(folder.glob("seed_*"))}
        kept = max(accuracies, key=accuracies.__getitem__)
        best = Best(
            baseline, folder.name, kept, runs / folder.name / kept.name / "model.pt", tuple(accuracies.values())
        )
        params = json.loads((kept / "score.json").read_text())["budget"]["params"]
        if params <= MOST_PARAMETERS and best.model.exists():
            yield best


def _validation_accuracy(kept: Path) -> float:
    with (kept / "log.csv").open() as log:
        return max(float(row["validation_accuracy"]) for row in csv.DictReader(log))


def _enter(best: Best, manifest: str, data: Path) -> None:
    with tempfile.TemporaryDirectory() as root:
        key = f"baselines/{best.name}"
        wish = ("--model", str(best.model), "--manifest", manifest, "--data", str(data), "--submissions", root)
        kwsbench("submission", "new", key, *wish, "--title", best.name, "--member", "kwsbench")
        (Path(root, key) / "report.md").write_text(report(best, manifest), encoding="utf-8")
        kwsbench("submission", "seal", str(Path(root, key)))
        shutil.rmtree(ENTRIES / best.name, ignore_errors=True)
        shutil.copytree(Path(root, key), ENTRIES / best.name)


def report(best: Best, manifest: str) -> str:
    """Returns the report of an entry, from the baseline's docstring and the model's card."""
    prose = inspect.getdoc(best.baseline) or ""
    head, _, rest = prose.partition("\n\n")
    idea, _, parts = rest.partition("\n\n")
    layers, ends, others = parts.partition("\n\nInput:")
    recipe = re.search(r"^Recipe:.*?(?=\n\n|\Z)", prose, re.MULTILINE | re.DOTALL)
    values = ", ".join(f"{100 * accuracy:.2f} %" for accuracy in best.accuracies)
    card = re.sub(r"^(#+) ", r"##\1 ", (best.kept / "card.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = {
        "Idea": f"{head}\n\n{idea}",
        "Data and augmentation": f"{recipe[0] if recipe else 'See the file of the baseline.'}",
        "Architecture and budget": f"{layers}{ends}{others.partition('Recipe:')[0]}".strip(),
        "Training": card.strip(),
        "Results on validation": f"Accuracy of the best epoch, by seed: {values}. The test split had no say.",
        "What did not work": _from_file(prose),
        "Who did what": f"The architecture is of {getattr(best.baseline, 'SOURCE', '')} The kit's authors trained it.",
        "How to reproduce": f"    python benchmarks/results_table.py {manifest} {best.name}\n"
        f"    python benchmarks/baseline_entries.py {manifest}",
    }
    return f"# {best.name}\n" + "".join(f"\n## {name}\n\n{text}\n" for name, text in sections.items())


def _from_file(prose: str) -> str:
    """What the docstring says of ideas that were tried, or of deviations from the source."""
    for begins in ("Tried", "Deviations"):
        found = re.search(rf"^{begins}.*?(?=\n\n\S+:|\Z)", prose, re.MULTILINE | re.DOTALL)
        if found:
            return found[0].strip()
    return "Nothing beside the recipe of the source was tried."


if __name__ == "__main__":
    main()
