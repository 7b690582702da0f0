"""`kwsbench export`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kwsbench.cli import options
from kwsbench.cli.output import check_outputs, note, note_next, print_json, show_table
from kwsbench.errors import KwsbenchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kwsbench.checkpoint.network import NetworkCheckpoint
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
    from kwsbench.checkpoint.model_file import read_model_file
    from kwsbench.checkpoint.network import load_network
    from kwsbench.export import comparison_clips

    checkpoint = load_network(read_model_file(model))
    outputs = _outputs(list(dict.fromkeys(to or _DEFAULT)), model, output or model.parent)
    check_outputs(outputs.values(), {"the model": model})
    clips = comparison_clips(checkpoint.header, manifest, data, _NUM_CLIPS)
    if not clips.real:
        note(
            f"No clips of {checkpoint.header.manifest} are prepared here: the exports are compared on synthetic sound."
        )
    heard = _calibration(checkpoint, manifest, data) if Target.ONNX_INT8 in outputs else None
    written = _written(_exports(checkpoint, clips.inputs, outputs, heard, baselines), len(outputs))
    if as_json:
        rows = [dataclasses.asdict(one) | {"path": str(one.path)} for one in written]
        print_json({"model": str(model), "clips": len(clips.inputs), "real_clips": clips.real, "exports": rows})
        return
    columns = ["file", "format", "bytes", f"largest difference, {len(clips.inputs)} clips", "equal labels"]
    show_table(columns, list(map(_row, written)), right=[2, 3, 4])
    first = str(written[0].path)
    note_next("check-budget", f"./{first}" if first.startswith("-") else first)


def _outputs(targets: Iterable[Target], model: Path, folder: Path) -> dict[Target, Path]:
    from kwsbench.checkpoint.model_file import Format
    from kwsbench.export import SUFFIX_IN_8_BITS, SUFFIXES

    suffixes = {one: SUFFIXES[Format(one)] if one in _DEFAULT else SUFFIX_IN_8_BITS for one in targets}
    return {one: folder / f"{model.stem}{suffix}" for one, suffix in suffixes.items()}


def _calibration(checkpoint: NetworkCheckpoint, manifest: str | None, data: Path | None) -> NDArray[np.float32]:
    """What ranges are measured on; that there are no such clips is said before anything is written."""
    from kwsbench.export import calibration_clips

    return calibration_clips(checkpoint.header, manifest, data, _NUM_CALIBRATION_CLIPS)


def _exports(
    checkpoint: NetworkCheckpoint,
    inputs: NDArray[np.float32],
    outputs: Mapping[Target, Path],
    heard: NDArray[np.float32] | None,
    baselines: Path | None,
) -> Iterator[Exported]:
    """Writes what was asked for; in 8 bits after its training where there are clips to measure ranges on."""
    from kwsbench.checkpoint.model_file import Format
    from kwsbench.export import export as export_network
    from kwsbench.export import export_in_8_bits

    formats = {Format(one): path for one, path in outputs.items() if one in _DEFAULT}
    if formats:
        yield from export_network(checkpoint, inputs, formats, baselines)
    if heard is not None:
        yield export_in_8_bits(checkpoint, inputs, heard, outputs[Target.ONNX_INT8], baselines)


def _row(one: Exported) -> list[object]:
    size, labels = f"{one.path.stat().st_size:,}", f"{100 * one.equal_labels:.1f} %"
    return [one.path, one.format, size, f"{one.largest_difference:.1e}", labels]


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
