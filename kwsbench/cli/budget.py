"""`kwsbench check-budget`: the command; `kwsbench.budget` counts and judges."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kwsbench.cli import options
from kwsbench.cli.output import note, print_json, show, working

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kwsbench.budget.question import Question
    from kwsbench.budget.report import Report
    from kwsbench.manifest import Manifest

EXAMPLE = options.example("check-budget model.pt --max-params 10000 --max-macs 1000000")

_MAX_ELEMENTS = 2**26
_MIN_SECONDS, _MAX_SECONDS = 0.001, 600
_MAX_AXES = 8
_NUM_CLIPS = 4
_FIRST_KEYS = (
    *("model", "format", "params", "macs", "weight_bytes", "thop", "audit", "front_end", "limits"),
    *("within_budget", "findings", "layers"),
)


ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file, of any format.")]
MaxParams = Annotated[int | None, typer.Option("--max-params", metavar="N", help="Most stored numbers.")]
MaxMacs = Annotated[
    int | None, typer.Option("--max-macs", metavar="N", help="Most multiply-accumulates for one second of audio.")
]
MaxWeightBytes = Annotated[
    int | None, typer.Option("--max-weight-bytes", metavar="N", help="Most bytes of weights as they are stored.")
]
MaxActivationBytes = Annotated[
    int | None, typer.Option("--max-activation-bytes", metavar="N", help="Most bytes of activations at one time.")
]
MaxMacsAbove8Bit = Annotated[
    int | None, typer.Option("--max-macs-above-8-bit", metavar="N", help="Most MACs with a factor wider than 8 bits.")
]
MaxFrontEndMacs = Annotated[
    int | None, typer.Option("--max-front-end-macs", metavar="N", help="Most MACs of the front-end.")
]
MaxReceptiveField = Annotated[
    float | None, typer.Option("--max-receptive-field-s", metavar="S", help="Longest receptive field.")
]
MaxLatency = Annotated[
    float | None, typer.Option("--max-latency-ms", metavar="X", help="Longest median time for one input, here.")
]
InputShape = Annotated[
    str | None, typer.Option("--input-shape", metavar="1,64,101", help="Shape of one input, batch first.")
]
InputSeconds = Annotated[
    float | None, typer.Option("--input-seconds", metavar="S", help="How much audio one input is.")
]
Arch = Annotated[
    str | None,
    typer.Option("--arch", metavar="FILE.py:CALLABLE", help="The network of a file that holds weights only."),
]
Layers = Annotated[bool, typer.Option("--layers", help="Show the counts of every layer.")]


def check_budget(
    model: ModelFile,
    max_params: MaxParams = None,
    max_macs: MaxMacs = None,
    max_weight_bytes: MaxWeightBytes = None,
    max_activation_bytes: MaxActivationBytes = None,
    max_macs_above_8_bit: MaxMacsAbove8Bit = None,
    max_front_end_macs: MaxFrontEndMacs = None,
    max_receptive_field_s: MaxReceptiveField = None,
    max_latency_ms: MaxLatency = None,
    input_shape: InputShape = None,
    input_seconds: InputSeconds = None,
    arch: Arch = None,
    manifest: options.Manifest = None,
    competition: options.Competition = None,
    baselines: options.Baselines = None,
    data: options.Data = None,
    layers: Layers = False,
    as_json: options.AsJson = False,
) -> None:
    """Counts parameters, MACs and bytes of a model in two ways, and says whether they keep the limits.

    Limits come from the options, else from --manifest, else from the competition, else from the manifest that the model
    was trained on. Exit code 1: over budget, or not to be certified.
    """
    from kwsbench.budget.check import check_budget as check

    limits = {
        "max_params": max_params,
        "max_macs": max_macs,
        "max_weight_bytes": max_weight_bytes,
        "max_activation_bytes": max_activation_bytes,
        "max_macs_above_8_bit": max_macs_above_8_bit,
        "max_front_end_macs": max_front_end_macs,
        "max_receptive_field_s": max_receptive_field_s,
        "max_latency_ms": max_latency_ms,
    }
    as_given = {"input_shape": _shape(input_shape), "input_seconds": _seconds(input_seconds), "arch": arch}
    question = _question(limits, as_given | {"baselines": baselines}, manifest, competition, data)
    with working(f"Counting {model}"):
        report = check(model, question)
    _show(report, with_layers=layers, as_json=as_json)
    if report.within_budget is False:
        raise typer.Exit(1)


def _question(
    limits: dict[str, float | None],
    given: dict[str, Any],
    manifest: str | None,
    competition: Path | None,
    data: Path | None,
) -> Question:
    from kwsbench.budget.limits import find_limits
    from kwsbench.budget.question import Question
    from kwsbench.errors import InputError

    if data is not None and manifest is None:
        raise InputError("--data goes with --manifest: it says where the clips of that data set are")
    known, clips = _benchmark(manifest, data)
    return Question(
        **given,
        limits=find_limits(limits, known, competition),
        front_end=known.front_end if known else None,
        sample_rate_hz=known.sample_rate_hz if known else None,
        clip_samples=known.clip_samples if known else None,
        clips=clips,
    )


def _show(report: Report, *, with_layers: bool, as_json: bool) -> None:
    if as_json:
        print_json(_record(report))
        return
    from kwsbench.budget.terminal import report_view

    show(*report_view(report, with_layers=with_layers))


def _shape(text: str | None) -> tuple[int, ...] | None:
    """Parses `1,64,101`. Raises InputError that says what is wrong with it."""
    from kwsbench.errors import InputError

    if text is None:
        return None
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--input-shape {text[:40]!r} is not numbers with commas, such as 1,64,101") from error
    given = ",".join(map(str, shape))
    if min(shape) < 1:
        raise InputError(f"--input-shape {given} has a dimension below 1")
    if shape[0] != 1:
        likely = " or ".join(",".join(map(str, (1, *rest))) for rest in (shape, shape[1:]) if rest)
        raise InputError(f"--input-shape {given} has a batch of {shape[0]:,}, expected 1; did you mean {likely}?")
    if len(shape) < 2:
        raise InputError("--input-shape 1 is a batch alone, expected the dimensions of one input after it: 1,64,101")
    if len(shape) > _MAX_AXES:
        raise InputError(f"--input-shape has {len(shape)} dimensions, expected at most {_MAX_AXES}")
    if math.prod(shape) > _MAX_ELEMENTS:
        raise InputError(f"--input-shape {given} has {math.prod(shape):,} numbers, expected at most {_MAX_ELEMENTS:,}")
    return shape


def _seconds(value: float | None) -> float | None:
    from kwsbench.errors import InputError

    if value is not None and not _MIN_SECONDS <= value <= _MAX_SECONDS:
        raise InputError(f"--input-seconds {value:g}: expected {_MIN_SECONDS} to {_MAX_SECONDS}")
    return value


def _benchmark(name: str | None, data: Path | None) -> tuple[Manifest | None, list[NDArray[np.float32]]]:
    """The manifest that was asked for, and real clips of its data set where that is prepared."""
    if name is None:
        return None, []
    from kwsbench.catalogue import find_manifest
    from kwsbench.dataset.clips import open_dataset
    from kwsbench.dataset.few_clips import few_clips
    from kwsbench.dataset.places import places
    from kwsbench.errors import InputError

    dataset = None
    try:
        dataset = open_dataset(name, places(data))
        return dataset.manifest, list(few_clips(dataset, _NUM_CLIPS))
    except InputError as error:
        if data is not None:
            raise
        known = dataset.manifest if dataset else find_manifest(name)[0]
        note(f"No real clips among the probes: {error.message}")
        return known, []


def _record(report: Report) -> dict[str, Any]:
    """The report with the keys that everybody reads first."""
    record = report.model_dump(mode="json")
    return {key: record[key] for key in _FIRST_KEYS} | record
