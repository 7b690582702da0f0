"""Exports the network of a checkpoint to ONNX, `.pt2` and TorchScript, and trusts none of them before it has run."""

from __future__ import annotations

import contextlib
import dataclasses
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
from kwsbench.dataset.clips import PreparedDataset, open_dataset
from kwsbench.dataset.few_clips import few_clips, few_clips_if_prepared
from kwsbench.dataset.places import places
from kwsbench.errors import CheckFailedError, InputError, RefusedError
from kwsbench.extras import import_torch
from kwsbench.features import extract
from kwsbench.files import replacing
from kwsbench.quantise import integer_graph, is_trained_with_rounding, rounded_after_training
from kwsbench.runtime.networks import input_shape_of, network_of_checkpoint
from kwsbench.runtime.scores import Scores, score_inputs, score_with_network
from kwsbench.sandbox import unavailable_reason

SUFFIXES = {Format.ONNX: ".onnx", Format.EXPORTED_PROGRAM: ".pt2", Format.TORCHSCRIPT: ".ts.pt"}
"""What each format's files end in."""

SUFFIX_IN_8_BITS = ".int8.onnx"
"""What the file of a network that was rounded after training ends in."""

TOLERANCE = 1e-4
"""Most by which a score of an export may differ from the original's; labels agree where the best leads by twice that."""

TOLERANCE_IN_INTEGERS = 0.1
"""Most by which the scores of a network that was trained with rounding may differ in its export.

It is the root mean square of the differences, as a part of the standard deviation of the original's scores: where a sum
lies between two integers, one program rounds it up and the other down, and a single score may be far off.
"""

TOLERANCE_AFTER_ROUNDING = 0.2
"""The same for a network that was rounded after training, which learned nothing of it."""

_ENDS = ("features", "scores")


@dataclass(frozen=True)
class Exported:
    """One export that was written.

    Attributes:
        path: The file.
        format: What it is.
        num_clips: Clips that it was compared on.
        largest_difference: The largest difference between its scores and the original's on them.
        equal_labels: Share of these clips that it gives the original's label.
    """

    path: Path
    format: Format
    num_clips: int
    largest_difference: float
    equal_labels: float


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
        _require_same_sound(dataset, header)
        clips = few_clips(dataset, num_clips)
    real = clips is not None and clips.shape[1] == header.clip_samples
    if clips is None or not real:
        clips = np.stack(list(waveforms(header.sample_rate_hz, header.clip_samples).values()))
    return ComparisonClips(extract(clips, header.front_end, header.sample_rate_hz), real)


def calibration_clips(
    header: ModelHeader, manifest: str | None, data: Path | None, num_clips: int
) -> NDArray[np.float32]:
    """Returns what real clips of the training split sound like to a model, shape (clips, coefficients, frames).

    Raises:
        InputError: The manifest that was asked for, or the one that the model was trained on, is not prepared, or its
            clips are not what the model hears.
    """
    here = places(data)
    if manifest is None and not here.is_prepared(header.manifest):  # a name from a model is never taken for a path
        raise InputError(
            f"rounding a network after its training takes real clips, and {header.manifest} is not prepared here;"
            " name a prepared data set with --manifest"
        )
    dataset = open_dataset(manifest or header.manifest, here)
    _require_same_sound(dataset, header)
    return extract(few_clips(dataset, num_clips, "train"), header.front_end, header.sample_rate_hz)


def _require_same_sound(dataset: PreparedDataset, header: ModelHeader) -> None:
    found = dataset.manifest
    if (found.sample_rate_hz, found.clip_samples) != (header.sample_rate_hz, header.clip_samples):
        raise InputError(f"the clips of {found.name} have another rate or length than those that the model hears")


def export(
    checkpoint: NetworkCheckpoint,
    inputs: NDArray[np.float32],
    outputs: Mapping[Format, Path],
    baselines: Path | None = None,
) -> Iterator[Exported]:
    """Writes exports of a checkpoint, each read again and compared with the original before it is written.

    The scores of an export are the original's within `TOLERANCE`; those of a network that was trained with rounding,
    whose ONNX export computes with integers, within `TOLERANCE_IN_INTEGERS`.

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
        CheckFailedError: An export gives other scores; it is not written.
    """
    _require_readers(outputs)
    network = network_of_checkpoint(checkpoint, baselines).eval()
    expected = score_with_network(network, inputs)
    is_exact = not is_trained_with_rounding(network)
    comparison = _Comparison(inputs, expected, TOLERANCE if is_exact else TOLERANCE_IN_INTEGERS, is_exact)
    for format_, path in outputs.items():
        yield comparison.written(_exported(format_, network, checkpoint), format_, path)


def export_in_8_bits(
    checkpoint: NetworkCheckpoint,
    inputs: NDArray[np.float32],
    calibration: NDArray[np.float32],
    path: Path,
    baselines: Path | None = None,
) -> Exported:
    """Writes a network in floating point as ONNX in 8 bits, after it is read again and compared with the original.

    Args:
        checkpoint: The model.
        inputs: What the clips to compare on sound like to it, shape (clips, coefficients, frames).
        calibration: What clips of the training split sound like to it: the ranges of activations are measured on them.
        path: Where the export goes.
        baselines: Folder of the baselines that the checkpoint may name.

    Raises:
        InputError: The network cannot be made or cannot be exported, or it was trained with rounding.
        CheckFailedError: Its scores differ by more than `TOLERANCE_AFTER_ROUNDING`; it is not written.
    """
    network = network_of_checkpoint(checkpoint, baselines).eval()
    if is_trained_with_rounding(network):
        raise InputError(f"{checkpoint.header.baseline} was trained with rounding: --to onnx writes its integers")
    expected = score_with_network(network, inputs)
    graph = _exported(Format.ONNX, network, checkpoint)
    with _failures_told(checkpoint.header, "onnx in 8 bits"):
        rounded = _with_header(rounded_after_training(graph, calibration), checkpoint.header.model_dump_json())
    comparison = _Comparison(inputs, expected, TOLERANCE_AFTER_ROUNDING, is_exact=False)
    return comparison.written(rounded, Format.ONNX, path)


def _require_readers(formats: Iterable[Format]) -> None:
    programs = [one.value for one in formats if one is not Format.ONNX]
    reason = unavailable_reason()
    if programs and reason is not None:
        raise RefusedError(
            f"exports as {' and '.join(programs)} are read again in the sandbox only, but {reason}; ONNX does without:"
            " --to onnx"
        )


@dataclass(frozen=True, eq=False)
class _Comparison:
    """What an export is held against.

    Attributes:
        inputs: What clips sound like to the model.
        expected: The original's scores of them.
        tolerance: Most by which an export's scores may differ.
        is_exact: It is the largest difference; else their root mean square, as a part of the scores' deviation.
    """

    inputs: NDArray[np.float32]
    expected: Scores
    tolerance: float
    is_exact: bool

    def written(self, data: bytes, format_: Format, path: Path) -> Exported:
        """Writes an export if, run as anyone would run it, it gives the expected scores."""
        with replacing(path) as temporary:
            temporary.write_bytes(data)
            found = score_inputs(dataclasses.replace(read_model_file(temporary), path=path), self.inputs)
            self._check(found, path)
        equal = float(np.mean(found.argmax(axis=1) == self.expected.argmax(axis=1)))
        return Exported(path, format_, len(found), float(np.abs(found - self.expected).max()), equal)

    def _check(self, found: Scores, path: Path) -> None:
        if found.shape != self.expected.shape:
            raise CheckFailedError(
                f"{path} gives scores of shape {found.shape} instead of {self.expected.shape}; not written"
            )
        difference = self._difference(found)
        if not difference <= self.tolerance:
            unit = "" if self.is_exact else " of their deviation"
            raise CheckFailedError(
                f"the scores of {path} differ by {difference:.2g}{unit} (at most {self.tolerance:g}); not written"
            )

    def _difference(self, found: Scores) -> float:
        if self.is_exact:
            return float(np.abs(found - self.expected).max())
        return float(np.sqrt(np.mean((found - self.expected) ** 2)) / max(self.expected.std(), TOLERANCE))


def _exported(format_: Format, network: Any, checkpoint: NetworkCheckpoint) -> bytes:
    torch = import_torch()
    header = checkpoint.header
    # Two clips, since one would let the tracers take the batch for a constant.
    example = torch.zeros(2, *input_shape_of(header))
    make = {
        Format.ONNX: _to_integers if is_trained_with_rounding(network) else _to_onnx,
        Format.EXPORTED_PROGRAM: _to_exported_program,
        Format.TORCHSCRIPT: _to_torchscript,
    }[format_]
    with _failures_told(header, format_):
        return make(network, example, header.model_dump_json())


@contextlib.contextmanager
def _failures_told(header: ModelHeader, format_: str) -> Iterator[None]:
    """Quietens the exporters, and turns what they raise into one message."""
    with _quiet():
        try:
            yield
        except InputError:
            raise
        except ImportError as error:
            raise InputError(f"{error}; run `pip install 'kwsbench[export]'`") from error
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(f"torch cannot export {header.baseline} as {format_}: {reason}") from error


def _to_integers(network: Any, example: Any, header: str) -> bytes:
    return _with_header(integer_graph(network, example, *_ENDS), header)


def _with_header(model: Any, header: str) -> bytes:
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, header
    return bytes(model.SerializeToString(deterministic=True))


def _to_onnx(network: Any, example: Any, header: str) -> bytes:
    torch = import_torch()
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=[_ENDS[0]],
        output_names=[_ENDS[1]],
        verbose=False,
    )
    if program is None:
        raise InputError("torch gave no ONNX program")
    return _with_header(program.model_proto, header)


def _to_exported_program(network: Any, example: Any, header: str) -> bytes:
    torch = import_torch()
    batch = torch.export.Dim("batch")
    program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={HEADER_FILE: header})
    return buffer.getvalue()


def _to_torchscript(network: Any, example: Any, header: str) -> bytes:
    torch = import_torch()
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
