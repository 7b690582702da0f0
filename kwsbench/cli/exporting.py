"""`kwsbench export`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kwsbench.cli import options
from kwsbench.cli.output import check_outputs, note, note_next, print_json, show_table
from kwsbench.errors import KwsbenchError

if TYPE_CHECKING:
    from kwsbench.export import Exported

EXAMPLE = options.example("export model.pt --to onnx -o exports")

_NUM_CLIPS = 64
_NUM_CALIBRATION_CLIPS = 256


class Target(StrEnum):
    """A format that a checkpoint can be exported to."""

    ONNX = "onnx"
    ONNX_INT8 = "onnx-int8"
    PT2 = "pt2"
    TORCHSCRIPT = "torchscript"


_DEFAULT = (Target.ONNX, Target.PT2, Target.TORCHSCRIPT)


def export(
    model: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A kwsbench checkpoint.")],
    to: Annotated[
        list[Target] | None, typer.Option("--to", help="Format; may be given again. Default: all but onnx-int8.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder to write to. Default: the model's.")
    ] = None,
    manifest: Annotated[
        str | None,
        typer.Option(
            "--manifest", metavar="MANIFEST", help="Prepared data set to compare on. Default: the model's own."
        ),
    ] = None,
    data: options.Data = None,
    baselines: options.Baselines = None,
    as_json: options.AsJson = False,
) -> None:
    """Exports a checkpoint to ONNX, .pt2 and TorchScript; each is read again and must give the same scores.

    They are compared on 64 real clips where the data set is prepared, and on synthetic sound where it is not. Reading
    .pt2 and TorchScript again needs the sandbox. A network that was trained with rounding becomes ONNX in integers;
    onnx-int8 rounds any other one after its training, with ranges measured on 256 real clips of the training split.
    """
    from kwsbench.checkpoint.model_file import Format, read_model_file
    from kwsbench.checkpoint.network import load_network
    from kwsbench.export import SUFFIX_IN_8_BITS, SUFFIXES, calibration_clips, comparison_clips, export_in_8_bits
    from kwsbench.export import export as export_network

    checkpoint = load_network(read_model_file(model))
    targets = list(dict.fromkeys(to or _DEFAULT))
    folder = output or model.parent
    outputs = {Format(one): folder / f"{model.stem}{SUFFIXES[Format(one)]}" for one in targets if one in _DEFAULT}
    in_8_bits = folder / f"{model.stem}{SUFFIX_IN_8_BITS}" if Target.ONNX_INT8 in targets else None
    check_outputs([*outputs.values(), *([in_8_bits] if in_8_bits else [])], {"the model": model})
    header = checkpoint.header
    calibration = calibration_clips(header, manifest, data, _NUM_CALIBRATION_CLIPS) if in_8_bits else None
    clips = comparison_clips(checkpoint.header, manifest, data, _NUM_CLIPS)
    if not clips.real:
        note(
            f"No clips of {checkpoint.header.manifest} are prepared here: the exports are compared on synthetic sound."
        )
    exports: Iterable[Exported] = export_network(checkpoint, clips.inputs, outputs, baselines)
    if in_8_bits is not None and calibration is not None:
        rounded = (export_in_8_bits(checkpoint, clips.inputs, calibration, in_8_bits, baselines) for _ in range(1))
        exports = itertools.chain(exports, rounded)
    written = _written(exports, len(targets))
    if as_json:
        rows = [
            {
                "path": str(one.path),
                "format": one.format,
                "largest_difference": one.largest_difference,
                "equal_labels": one.equal_labels,
            }
            for one in written
        ]
        print_json({"model": str(model), "clips": len(clips.inputs), "real_clips": clips.real, "exports": rows})
        return
    table = [
        [
            one.path,
            one.format,
            f"{one.path.stat().st_size:,}",
            f"{one.largest_difference:.1e}",
            f"{100 * one.equal_labels:.1f} %",
        ]
        for one in written
    ]
    columns = ["file", "format", "bytes", f"largest difference, {len(clips.inputs)} clips", "equal labels"]
    show_table(columns, table, right=[2, 3, 4])
    first = str(written[0].path)
    note_next("check-budget", f"./{first}" if first.startswith("-") else first)


def _written(exports: Iterable[Exported], count: int) -> list[Exported]:
    """What was written; what was before an error is said, for it stays."""
    from kwsbench.progress import progress

    written = []
    try:
        with progress("exporting", count, "formats") as advance:
            for one in exports:
                written.append(one)
                advance(1)
    except KwsbenchError:
        for one in written:
            note(f"Written before the error: {one.path} ({one.format})")
        raise
    return written
