"""Exports the network of a checkpoint to ONNX, `.pt2` and TorchScript, and trusts none of them before it has run."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.budget.probes import waveforms
from kwsbench.checkpoint.exports import HEADER_FILE
from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.model_file import Format, read_model_file
from kwsbench.checkpoint.network import NetworkCheckpoint
from kwsbench.checkpoint.onnx_file import METADATA_KEY
from kwsbench.dataset.clips import open_dataset
from kwsbench.dataset.few_clips import few_clips, few_clips_if_prepared
from kwsbench.dataset.places import places
from kwsbench.errors import CheckFailedError, InputError, RefusedError
from kwsbench.features import extract
from kwsbench.files import replacing
from kwsbench.runtime.networks import input_shape_of, network_of_checkpoint
from kwsbench.runtime.scores import Scores, score_inputs, score_with_network
from kwsbench.sandbox import unavailable_reason

SUFFIXES = {Format.ONNX: ".onnx", Format.EXPORTED_PROGRAM: ".pt2", Format.TORCHSCRIPT: ".ts.pt"}
"""What each format's files end in."""

TOLERANCE = 1e-4
"""Most by which a score of an export may differ from the original's."""


@dataclass(frozen=True)
class Exported:
    """One export that was written.

    Attributes:
        path: The file.
        format: What it is.
        num_clips: Clips that it was compared on.
        largest_difference: The largest difference between its scores and the original's on them.
    """

    path: Path
    format: Format
    num_clips: int
    largest_difference: float


@dataclass(frozen=True, eq=False)
class ComparisonClips:
    """What exports are compared on.

    Attributes:
        inputs: What the clips sound like to the model, shape (clips, coefficients, frames).
        real: Whether they are clips of the data set; synthetic sound else.
    """

    inputs: NDArray[np.float32]
    real: bool


def comparison_clips(header: ModelHeader, manifest: str | None, data: Path | None, num_clips: int) -> ComparisonClips:
    """Returns clips of the manifest, or of the one that the model was trained on where that is prepared.

    Raises:
        InputError: The manifest that was asked for is not prepared, or its clips are not what the model hears.
    """
    if manifest is None:
        clips = few_clips_if_prepared(header.manifest, num_clips, data)
    else:
        dataset = open_dataset(manifest, places(data))
        clips = few_clips(dataset, num_clips)
        if (dataset.manifest.sample_rate_hz, clips.shape[1]) != (header.sample_rate_hz, header.clip_samples):
            raise InputError(f"the clips of {manifest} have another rate or length than those that the model hears")
    real = clips is not None and clips.shape[1] == header.clip_samples
    if clips is None or not real:
        clips = np.stack(list(waveforms(header.sample_rate_hz, header.clip_samples).values()))
    return ComparisonClips(extract(clips, header.front_end, header.sample_rate_hz), real)


def export(
    checkpoint: NetworkCheckpoint,
    inputs: NDArray[np.float32],
    outputs: Mapping[Format, Path],
    baselines: Path | None = None,
) -> Iterator[Exported]:
    """Writes exports of a checkpoint, each read again and compared with the original before it is written.

    Args:
        checkpoint: The model.
        inputs: What the clips to compare on sound like to it, shape (clips, coefficients, frames).
        outputs: Where each export goes.
        baselines: Folder of the baselines that the checkpoint may name.

    Yields:
        Each export once it is written.

    Raises:
        InputError: The network cannot be made or cannot be exported.
        RefusedError: There is no sandbox to read a `.pt2` or TorchScript export again.
        CheckFailedError: An export gives other labels or scores; it is not written.
    """
    _require_readers(outputs)
    network = network_of_checkpoint(checkpoint, baselines).eval()
    expected = score_with_network(network, inputs)
    for format_, path in outputs.items():
        with replacing(path) as temporary:
            temporary.write_bytes(_exported(format_, network, checkpoint))
            difference = _difference(temporary, path, inputs, expected)
        yield Exported(path, format_, len(inputs), difference)


def _require_readers(formats: Iterable[Format]) -> None:
    programs = [one.value for one in formats if one is not Format.ONNX]
    reason = unavailable_reason()
    if programs and reason is not None:
        raise RefusedError(
            f"exports as {' and '.join(programs)} are read again in the sandbox only, but {reason}; ONNX does without:"
            " --to onnx"
        )


def _difference(file: Path, name: Path, inputs: NDArray[np.float32], expected: Scores) -> float:
    """Runs an export as anyone would, and returns by how much its scores differ."""
    found = score_inputs(dataclasses.replace(read_model_file(file), path=name), inputs)
    if found.shape != expected.shape:
        raise CheckFailedError(f"{name} gives scores of shape {found.shape} instead of {expected.shape}; not written")
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise CheckFailedError(f"the scores of {name} differ by {difference:.2g} (at most {TOLERANCE:g}); not written")
    return difference


def _exported(format_: Format, network: Any, checkpoint: NetworkCheckpoint) -> bytes:
    import torch

    header = checkpoint.header
    # Two clips, since one would let the tracers take the batch for a constant.
    example = torch.zeros(2, *input_shape_of(header))
    make = {
        Format.ONNX: _to_onnx,
        Format.EXPORTED_PROGRAM: _to_exported_program,
        Format.TORCHSCRIPT: _to_torchscript,
    }[format_]
    with _quiet():
        try:
            return make(network, example, header.model_dump_json())
        except ImportError as error:
            raise InputError(f"{error}; run `pip install 'kwsbench[export]'`") from error
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(f"torch cannot export {header.baseline} as {format_}: {reason}") from error


def _to_onnx(network: Any, example: Any, header: str) -> bytes:
    import torch

    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=["features"],
        output_names=["scores"],
        verbose=False,
    )
    if program is None:
        raise InputError("torch gave no ONNX program")
    model = program.model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, header
    return bytes(model.SerializeToString(deterministic=True))


def _to_exported_program(network: Any, example: Any, header: str) -> bytes:
    import torch

    batch = torch.export.Dim("batch")
    program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={HEADER_FILE: header})
    return buffer.getvalue()


def _to_torchscript(network: Any, example: Any, header: str) -> bytes:
    torch: Any = importlib.import_module("torch")  # parts of it have no types

    with torch.no_grad():
        traced = torch.jit.trace(network, example, check_trace=False)
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer, _extra_files={HEADER_FILE: header})
    return buffer.getvalue()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn, log and print about themselves; a caller reads of what failed, and nothing else."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
