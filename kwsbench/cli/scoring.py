"""`kwsbench score` and `kwsbench compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kwsbench.cli import options
from kwsbench.cli.output import check_outputs, note, print_json, show, show_table

if TYPE_CHECKING:
    from kwsbench.manifest import Split
    from kwsbench.predictions import Predictions
    from kwsbench.score.tables import Provenance
    from kwsbench.score.truth import TruthOptions, TruthSource

SCORE_EXAMPLE = options.example("score preds.csv --manifest espeak_12 --plots")
COMPARE_EXAMPLE = options.example("compare preds.csv preds.csv --manifest espeak_12")

_Predictions = Annotated[
    Path, typer.Argument(metavar="PREDS", help="Predictions: id column, label, and maybe score_<label> columns.")
]


def score(
    predictions: _Predictions,
    manifest: options.Manifest = None,
    split: options.Split = "test",
    truth: options.Truth = None,
    background: options.Background = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder to write. Default: scores/<file stem>.")
    ] = None,
    plots: Annotated[
        bool, typer.Option("--plots", help="Draw confusion matrix, DET curves and bars as SVG and PNG.")
    ] = False,
    data: options.Data = None,
    replicates: options.Replicates = 1000,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Scores predictions: accuracy, FRR, FAR, DET and more, with 95 % intervals, as CSV and JSON."""
    from kwsbench.progress import progress
    from kwsbench.score.evaluate import Bootstrap, evaluate
    from kwsbench.score.tables import plain, score_files, score_record, write_files
    from kwsbench.score.truth import find_truth

    with progress("scoring", total=3, unit="steps") as advance:
        source = find_truth(predictions, _options(data, manifest, split, truth, background))
        advance(1)
        predicted = _read(predictions, source)
        advance(1)
        result = evaluate(source.truth, predicted, Bootstrap(replicates, seed))
        advance(1)
    provenance = _provenance(predictions, source, split if truth is None else None)
    pictures = {}
    if plots:
        from kwsbench.score.plots import draw_plots

        pictures = draw_plots(result, source.origin)
    files = score_files(result, provenance, pictures)
    folder = out or Path("scores") / predictions.stem
    check_outputs([folder / name for name in files], {"the predictions": predictions, "the truth": truth})
    write_files(files, folder)
    if as_json:
        print_json(plain(score_record(result, provenance)))
        return
    from kwsbench.score.terminal import score_view

    show(score_view(result, source.origin))
    note(f"Written to {folder}: {', '.join(files)}")


def compare(
    a: Annotated[Path, typer.Argument(metavar="A.csv", help="Predictions of the first system.")],
    b: Annotated[Path, typer.Argument(metavar="B.csv", help="Predictions of the second system.")],
    manifest: options.Manifest = None,
    split: options.Split = "test",
    truth: options.Truth = None,
    background: options.Background = None,
    data: options.Data = None,
    replicates: options.Replicates = 1000,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Compares two systems on the same clips: exact McNemar test, and speaker-clustered bootstrap of the difference."""
    from dataclasses import asdict

    from kwsbench.score.compare import compare as compare_predictions
    from kwsbench.score.evaluate import Bootstrap
    from kwsbench.score.tables import plain
    from kwsbench.score.terminal import percent
    from kwsbench.score.truth import find_truth

    source = find_truth(a, _options(data, manifest, split, truth, background))
    result = compare_predictions(source.truth, _read(a, source), _read(b, source), Bootstrap(replicates, seed))
    names = (a.stem, b.stem) if a.stem != b.stem else (str(a), str(b))
    sentence = result.sentence(*names)
    if as_json:
        print_json(plain({"a": str(a), "b": str(b), **asdict(result), "sentence": sentence}))
        return
    rows = [
        (f"A  {a}", percent(result.accuracy_a), result.table.only_a),
        (f"B  {b}", percent(result.accuracy_b), result.table.only_b),
    ]
    show_table((source.origin, "accuracy", "clips that only it gets right"), rows, right=(1, 2))
    show(sentence)


def _options(
    data: Path | None, manifest: str | None, split: Split, truth: Path | None, background: list[str] | None
) -> TruthOptions:
    from kwsbench.dataset.places import places
    from kwsbench.errors import InputError
    from kwsbench.score.truth import TruthOptions

    if background and (truth is None or manifest is not None):
        raise InputError(
            "--background goes with --truth alone; where there is a manifest, it names the background labels"
        )
    return TruthOptions(places(data), manifest, split, truth, background or ())


def _read(path: Path, source: TruthSource) -> Predictions:
    from kwsbench.predictions import read_predictions

    return read_predictions(path, source.truth.clip_ids, source.truth.labels, source.id_column)


def _provenance(predictions: Path, source: TruthSource, split: str | None) -> Provenance:
    from kwsbench.files import sha256_of_file
    from kwsbench.score.tables import Provenance

    return Provenance(
        manifest=source.manifest.name if source.manifest else None,
        revision=source.manifest.revision if source.manifest else None,
        split=split,
        clips_sha256=source.data_sha256,
        predictions_sha256=sha256_of_file(predictions),
    )
