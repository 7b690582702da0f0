"""`kwsbench predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kwsbench.cli import options
from kwsbench.cli.output import check_outputs, note, note_next, print_json, show
from kwsbench.errors import InputError

EXAMPLE = options.example("predict models/espeak_12/mfcc_lightgbm.txt --manifest espeak_12 --split test -o preds.csv")


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
