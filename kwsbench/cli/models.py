"""`kwsbench train` and `kwsbench predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kwsbench.cli import options
from kwsbench.cli.output import check_outputs, note, note_next, print_json, show

TRAIN_EXAMPLE = options.example("train mfcc_lightgbm --manifest espeak_12")
PREDICT_EXAMPLE = options.example(
    "predict models/espeak_12/mfcc_lightgbm.txt --manifest espeak_12 --split test -o preds.csv"
)


def train(
    baseline: Annotated[str, typer.Argument(metavar="BASELINE", help="Name of a baseline, or the path of its file.")],
    manifest: Annotated[str, typer.Option("--manifest", metavar="MANIFEST", help="A prepared data set.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Configuration; may be given again.")
    ] = None,
    seed: options.Seed = 0,
    threads: Annotated[
        int,
        typer.Option("--threads", min=1, help="Threads that boost; one is fastest up to some 10,000 clips."),
    ] = 1,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Model to write. Default: models/MANIFEST/BASELINE.txt."),
    ] = None,
    data: options.Data = None,
    baselines: options.Baselines = None,
    as_json: options.AsJson = False,
) -> None:
    """Trains a baseline on a prepared data set."""
    from kwsbench.baseline import configure, load_baseline, require_lightgbm
    from kwsbench.dataset.clips import open_dataset
    from kwsbench.dataset.places import places
    from kwsbench.train import Boosting
    from kwsbench.train import train as train_baseline

    recipe = require_lightgbm(load_baseline(baseline, baselines))
    config = configure(recipe, settings or ())
    dataset = open_dataset(manifest, places(data))
    out = output or Path("models") / dataset.manifest.name / f"{recipe.__name__}.txt"
    check_outputs([out], {})
    result = train_baseline(recipe, config, dataset, out, Boosting(seed, threads))
    if as_json:
        record = {"num_train_clips": result.num_train_clips, "num_rounds": result.num_rounds}
        print_json({"model": str(out), **record, "validation_accuracy": result.validation_accuracy})
        return
    accuracy = f"{100 * result.validation_accuracy:.2f} % on the validation split"
    show(f"{out}: {accuracy} after {result.num_rounds} rounds on {result.num_train_clips:,} clips")
    folder = Path(baseline).parent if baseline.endswith(".py") else baselines
    words = ("predict", str(out), "--manifest", manifest, "--split", "test", "-o", "preds.csv")
    note_next(*words, data=data, baselines=folder)


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A trained model.")],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE_OR_FOLDER", help="Any audio, instead of a prepared data set."),
    ] = None,
    manifest: options.Manifest = None,
    split: options.Split = "test",
    output: Annotated[Path, typer.Option("--output", "-o", metavar="CSV", help="File to write.")] = Path("preds.csv"),
    data: options.Data = None,
    baselines: options.Baselines = None,
    as_json: options.AsJson = False,
) -> None:
    """Predicts the clips of a prepared data set, or of any audio files and folders."""
    from kwsbench.dataset.clips import open_dataset
    from kwsbench.dataset.places import places
    from kwsbench.errors import InputError
    from kwsbench.predict import load_model, predict_files, predict_split

    if bool(inputs) == (manifest is not None):
        raise InputError("name either a data set with --manifest, or audio files and folders after the model")
    check_outputs([output], {"the model": model} | {f"the input {path}": path for path in inputs or ()})
    loaded = load_model(model, baselines)
    if manifest is not None:
        clips = predict_split(loaded, open_dataset(manifest, places(data)), split)
    else:
        clips, num_long = predict_files(loaded, inputs or [])
        if num_long:
            seconds = loaded.header.clip_samples / loaded.header.sample_rate_hz
            note(
                f"{num_long:,} of {len(clips.clip_ids):,} files are longer: only their first {seconds:g} s were heard."
            )
    clips.write(output)
    if as_json:
        print_json({"predictions": str(output), "clips": len(clips.clip_ids), "labels": list(clips.labels)})
        return
    show(f"{output}: {len(clips.clip_ids):,} clips")
    if manifest is not None:
        note_next("score", str(output), "--manifest", manifest, "--split", split, data=data)
