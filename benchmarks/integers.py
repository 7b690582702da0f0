"""What 8 bits cost and bring: TC-ResNet8 trained with rounding, rounded after its training, and in floating point.

    python benchmarks/integers.py speech_commands_v1_10 --data data --runs runs

takes the models that `benchmarks/results_table.py` trained (`tc_resnet8` and `tc_resnet8_int8`, every seed), exports them
to ONNX, lets onnxruntime predict the test split, and prints for each form the mean accuracy, its bytes beside those of
the float checkpoint's weights, and the median time of one clip on one thread, all forms in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from commands import kwsbench, parser_on_runs

FORMS = {
    "float, ONNX": ("tc_resnet8", "onnx", "model.onnx"),
    "8 bits, trained with rounding": ("tc_resnet8_int8", "onnx", "model.onnx"),
    "8 bits, rounded after training": ("tc_resnet8", "onnx-int8", "model.int8.onnx"),
}
ROUNDS, CALLS = 30, 50


@dataclass(frozen=True)
class Tested:
    """One exported model: its file, and its accuracy on the test split in percent."""

    path: Path
    accuracy: float


def main() -> None:
    """Prints a row per form."""
    arguments = parser_on_runs(__doc__).parse_args()
    tested = {form: _of_all_seeds(*how, arguments) for form, how in FORMS.items()}
    times_s = _times({form: models[0].path for form, models in tested.items()})
    reference = next(iter(FORMS))
    print("| form | accuracy | file bytes | of float | time of a clip | of float |\n|---|---:|---:|---:|---:|---:|")
    for form, models in tested.items():
        size = models[0].path.stat().st_size
        share = size / tested[reference][0].path.stat().st_size
        mean_ms = 1000 * statistics.median(times_s[form])
        ratio = statistics.median(mine / other for mine, other in zip(times_s[form], times_s[reference], strict=True))
        accuracy = f"{statistics.fmean(model.accuracy for model in models):.2f}"
        print(f"| {form} | {accuracy} | {size:,} | {100 * share:.0f} % | {mean_ms:.3f} ms | {ratio:.2f} |")


def _of_all_seeds(baseline: str, target: str, name: str, arguments: argparse.Namespace) -> list[Tested]:
    checkpoints = sorted((arguments.runs / baseline).glob("seed_*/model.pt"))
    return [_tested(checkpoint, target, name, arguments) for checkpoint in checkpoints]


def _tested(checkpoint: Path, target: str, name: str, arguments: argparse.Namespace) -> Tested:
    folder = checkpoint.parent / target
    data = ("--manifest", arguments.manifest, "--data", str(arguments.data))
    kwsbench("export", str(checkpoint), "--to", target, "-o", str(folder), *data)
    predictions = folder / "preds.csv"
    kwsbench("predict", str(folder / name), *data, "--split", "test", "-o", str(predictions))
    scored = ("--split", "test", "--out", str(folder / "scores"), "--json")
    score = json.loads(kwsbench("score", str(predictions), *data, *scored))
    return Tested(folder / name, 100 * score["summary"]["accuracy"]["value"])


def _times(models: dict[str, Path]) -> dict[str, list[float]]:
    """Seconds of one clip, by form and round; the forms take turns."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = {form: onnxruntime.InferenceSession(path.read_bytes(), options) for form, path in models.items()}
    clip = np.random.default_rng(0).normal(0, 10, (1, 40, 98)).astype(np.float32)
    times_s: dict[str, list[float]] = {form: [] for form in models}
    for _ in range(ROUNDS):
        for form, session in sessions.items():
            started = time.perf_counter()
            for _ in range(CALLS):
                session.run(None, {session.get_inputs()[0].name: clip})
            times_s[form].append((time.perf_counter() - started) / CALLS)
    return times_s


if __name__ == "__main__":
    main()
