"""`kwsbench train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from kwsbench.cli import options
from kwsbench.cli.output import check_outputs, note, note_next, print_json, show
from kwsbench.errors import InputError

if TYPE_CHECKING:
    from kwsbench.baseline import Baseline, LightgbmBaseline, TorchBaseline

DeviceName = Literal["auto", "cpu", "cuda"]
PrecisionName = Literal["32", "bf16"]

EXAMPLE = options.example("train mfcc_lightgbm --manifest espeak_12")


BaselineName = Annotated[str, typer.Argument(metavar="BASELINE", help="Name of a baseline, or the path of its file.")]
Prepared = Annotated[str, typer.Option("--manifest", metavar="MANIFEST", help="A prepared data set.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Configuration; may be given again.")
]
RecipeChanges = Annotated[
    list[str] | None,
    typer.Option("--recipe", metavar="KEY=VALUE", help="Networks: change the recipe; may be given again."),
]
Teachers = Annotated[
    list[Path] | None,
    typer.Option(
        "--teacher",
        metavar="MODEL",
        help="Networks: a checkpoint to learn from beside the labels; may be given again, for the mean of all.",
    ),
]
Epochs = Annotated[
    int | None, typer.Option("--epochs", min=1, metavar="N", help="Networks: --recipe epochs=N, in short.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        metavar="N",
        help="Threads. Default: 1 for LightGBM, fastest up to some 10,000 clips; for networks three quarters of the processors, the rest read clips.",
    ),
]
Device = Annotated[
    DeviceName | None, typer.Option("--device", help="Networks: where. Default: auto, the GPU where there is one.")
]
Devices = Annotated[
    int | None, typer.Option("--devices", min=1, metavar="N", help="Networks: GPUs, or processes, of a machine.")
]
Nodes = Annotated[
    int | None, typer.Option("--nodes", min=1, metavar="N", help="Networks: machines that share the batches.")
]
Precision = Annotated[
    PrecisionName | None, typer.Option("--precision", help="Networks: bits. Default: 32; bf16 is mixed.")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Networks: start over instead of going on with what the folder holds.")
]
TrainOutput = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="Where to write: a file for LightGBM (models/MANIFEST/BASELINE.txt), a folder for networks (models/MANIFEST/BASELINE).",
    ),
]


def train(
    baseline: BaselineName,
    manifest: Prepared,
    settings: Settings = None,
    recipe: RecipeChanges = None,
    teachers: Teachers = None,
    epochs: Epochs = None,
    seed: options.Seed = 0,
    threads: Threads = None,
    device: Device = None,
    devices: Devices = None,
    nodes: Nodes = None,
    precision: Precision = None,
    fresh: Fresh = False,
    output: TrainOutput = None,
    data: options.Data = None,
    baselines: options.Baselines = None,
    as_json: options.AsJson = False,
) -> None:
    """Trains a baseline on a prepared data set; a network goes on where an earlier run of it was stopped."""
    from kwsbench.baseline import is_torch, load_baseline

    loaded = load_baseline(baseline, baselines)
    folder = Path(baseline).parent if baseline.endswith(".py") else baselines
    run = _Training(manifest, tuple(settings or ()), seed, threads, output, data, folder, as_json)
    chosen: dict[str, Any] = {"device": device, "devices": devices, "nodes": nodes, "precision": precision}
    if is_torch(loaded):
        changes = (*(recipe or ()), *([f"epochs={epochs}"] if epochs is not None else []))
        _train_network(loaded, run, changes, tuple(teachers or ()), _given({**chosen, "fresh": fresh}))
        return
    of_networks = {"recipe": recipe, "teacher": teachers, "epochs": epochs, **chosen, "fresh": fresh}
    _refuse_for_lightgbm(loaded, _given(of_networks))
    _train_trees(cast("LightgbmBaseline", loaded), run)


@dataclass(frozen=True)
class _Training:
    manifest: str
    settings: tuple[str, ...]
    seed: int
    threads: int | None
    output: Path | None
    data: Path | None
    baselines: Path | None
    as_json: bool


def _given(chosen: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in chosen.items() if value}


def _refuse_for_lightgbm(baseline: Baseline, given: dict[str, Any]) -> None:
    if given:
        names = ", ".join(f"--{name}" for name in given)
        raise InputError(
            f"{baseline.__name__} is a baseline on LightGBM: {names} can only be given for networks in torch"
        )


def _train_trees(baseline: LightgbmBaseline, run: _Training) -> None:
    from kwsbench.baseline import configure
    from kwsbench.dataset.clips import open_dataset
    from kwsbench.dataset.places import places
    from kwsbench.train.lightgbm import Boosting
    from kwsbench.train.lightgbm import train as train_baseline

    config = configure(baseline, run.settings)
    dataset = open_dataset(run.manifest, places(run.data))
    out = run.output or Path("models") / dataset.manifest.name / f"{baseline.__name__}.txt"
    check_outputs([out], {})
    result = train_baseline(baseline, config, dataset, out, Boosting(run.seed, run.threads or 1))
    if run.as_json:
        record = {"num_train_clips": result.num_train_clips, "num_rounds": result.num_rounds}
        print_json({"model": str(out), **record, "validation_accuracy": result.validation_accuracy})
        return
    accuracy = f"{100 * result.validation_accuracy:.2f} % on the validation split"
    show(f"{out}: {accuracy} after {result.num_rounds} rounds on {result.num_train_clips:,} clips")
    _note_predict(out, run)


def _train_network(
    baseline: TorchBaseline, run: _Training, changes: tuple[str, ...], teachers: tuple[Path, ...], given: dict[str, Any]
) -> None:
    from kwsbench.baseline import configure
    from kwsbench.dataset.clips import open_dataset
    from kwsbench.dataset.places import places
    from kwsbench.extras import import_torch
    from kwsbench.train.options import TrainingOptions
    from kwsbench.train.recipes import recipe_of

    config = configure(baseline, run.settings)
    recipe = recipe_of(baseline, config, changes)
    dataset = open_dataset(run.manifest, places(run.data))
    out = run.output or Path("models") / dataset.manifest.name / baseline.__name__
    check_outputs(
        [out / name for name in ("model.pt", "last.pt", "state.pt")], {f"the teacher {path}": path for path in teachers}
    )
    import_torch()
    from kwsbench.train.network import train_network
    from kwsbench.train.results import BEST, LAST
    from kwsbench.train.teachers import read_teacher

    chosen = TrainingOptions(run.seed, run.threads, **given)
    read = [read_teacher(path, run.baselines) for path in teachers]
    result = train_network(baseline, config, recipe, dataset, out, chosen, note, read)
    if not result.is_main:
        return
    best = result.best
    if run.as_json:
        record = {
            "model": str(out / BEST),
            "last": str(out / LAST),
            "num_train_clips": result.num_train_clips,
            "epochs": len(result.history),
            "best_epoch": best.epoch,
            "validation_accuracy": best.validation_accuracy,
            "validation_balanced_accuracy": best.validation_balanced_accuracy,
        }
        print_json(record)
        return
    accuracy = f"{100 * best.validation_accuracy:.2f} % on the validation split"
    epochs = f"epoch {best.epoch} of {len(result.history)}"
    show(f"{out / BEST}: {accuracy} after {epochs} on {result.num_train_clips:,} clips")
    _note_predict(out / BEST, run)


def _note_predict(model: Path, run: _Training) -> None:
    words = ("predict", str(model), "--manifest", run.manifest, "--split", "test", "-o", "preds.csv")
    note_next(*words, data=run.data, baselines=run.baselines)
