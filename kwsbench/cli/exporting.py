"""`kwsbench export`."""

from __future__ import annotations

from collections.abc import Iterator
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


class Target(StrEnum):
    """A format that a checkpoint can be exported to."""

    ONNX = "onnx"
    PT2 = "pt2"
    TORCHSCRIPT = "torchscript"


def export(
    model: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A kwsbench checkpoint.")],
    to: Annotated[
        list[Target] | None, typer.Option("--to", help="Format; may be given again. Default: all three.")
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
    .pt2 and TorchScript again needs the sandbox.
    """
    from kwsbench.checkpoint.model_file import Format, read_model_file
    from kwsbench.checkpoint.network import load_network
    from kwsbench.export import SUFFIXES, comparison_clips
    from kwsbench.export import export as export_network

    checkpoint = load_network(read_model_file(model))
    formats = [Format(name) for name in dict.fromkeys(to or Target)]
    folder = output or model.parent
    outputs = {one: folder / f"{model.stem}{SUFFIXES[one]}" for one in formats}
    check_outputs(outputs.values(), {"the model": model})
    clips = comparison_clips(checkpoint.header, manifest, data, _NUM_CLIPS)
    if not clips.real:
        note(
            f"No clips of {checkpoint.header.manifest} are prepared here: the exports are compared on synthetic sound."
        )
    written = _written(export_network(checkpoint, clips.inputs, outputs, baselines), len(outputs))
    if as_json:
        rows = [
            {"path": str(one.path), "format": one.format, "largest_difference": one.largest_difference}
            for one in written
        ]
        print_json({"model": str(model), "clips": len(clips.inputs), "real_clips": clips.real, "exports": rows})
        return
    table = [[one.path, one.format, f"{one.path.stat().st_size:,}", f"{one.largest_difference:.1e}"] for one in written]
    show_table(["file", "format", "bytes", f"largest difference, {len(clips.inputs)} clips"], table, right=[2, 3])
    first = str(written[0].path)
    note_next("check-budget", f"./{first}" if first.startswith("-") else first)


def _written(exports: Iterator[Exported], count: int) -> list[Exported]:
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
