"""What the canaries of `kwsbench submission verify` take from honest models: all that `results_table.py` has trained.

    python benchmarks/canaries.py speech_commands_v1_10 --data data --runs runs

changes clips of the validation split as a verification changes those of the test split, and prints for each model its
accuracy, the points that each change costs, and how many labels it changes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from commands import parser_on_runs

from kwsbench.dataset.clips import PreparedDataset, load_samples, open_dataset
from kwsbench.dataset.places import places
from kwsbench.predict import Model, load_model
from kwsbench.submission.canaries import UNCHANGED, Samples, changed_clips, chosen

SEED = "the benchmark"  # in the place of the hash of a model


def main() -> None:
    """Prints a row per model."""
    arguments = parser_on_runs(__doc__).parse_args()
    dataset = open_dataset(arguments.manifest, places(arguments.data))
    clips, truth = _canaries(dataset)
    print(f"| model | accuracy | {' | '.join(name for name in clips if name != UNCHANGED)} |")
    print(f"|---|---:|{'---:|' * (len(clips) - 1)}")
    for path in sorted(arguments.runs.glob("*/seed_*/model.*")):
        if path.suffix in {".pt", ".txt"}:
            name = f"{path.parent.parent.name} {path.parent.name}"
            print(f"| {name} | {' | '.join(_row(load_model(path), clips, truth, dataset))} |", flush=True)


def _canaries(dataset: PreparedDataset) -> tuple[dict[str, Samples], np.ndarray]:
    """Clips by what was done to them, and the codes of their true labels."""
    manifest, rows = dataset.manifest, dataset.split("validation")
    rows = rows[chosen(rows[manifest.id_column].to_list(), SEED)]
    samples, ids = load_samples(rows, dataset), rows[manifest.id_column].to_list()
    changed = dict(changed_clips(samples, ids, manifest.sample_rate_hz, SEED))
    return {UNCHANGED: samples, **changed}, np.array([manifest.labels.index(label) for label in rows["label"]])


def _row(model: Model, clips: dict[str, Samples], truth: np.ndarray, dataset: PreparedDataset) -> Iterator[str]:
    rate_hz = dataset.manifest.sample_rate_hz
    said = {name: model.scores(model.hear(samples, rate_hz)).argmax(axis=1) for name, samples in clips.items()}
    before = said.pop(UNCHANGED)
    yield f"{100 * np.mean(before == truth):.1f} %"
    for after in said.values():
        lost = 100 * (np.mean(before == truth) - np.mean(after == truth))
        yield f"{lost:.1f} points, {100 * np.mean(before != after):.1f} % of labels"


if __name__ == "__main__":
    main()
