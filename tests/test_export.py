"""Exports of checkpoints: written only where, read again, they give the scores of the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kwsbench import export as module
from kwsbench.checkpoint.exports import header_of_export
from kwsbench.checkpoint.model_file import Format, read_model_file
from kwsbench.errors import CheckFailedError
from kwsbench.export import SUFFIXES, ComparisonClips, comparison_clips, export
from tests.checkpoints import checkpoint_of
from tests.sandboxed import needs_sandbox

CHECKPOINT = checkpoint_of("conv1d_sber")


def outputs(folder: Path, *formats: Format) -> dict[Format, Path]:
    """Where exports go."""
    return {one: folder / f"model{SUFFIXES[one]}" for one in formats}


@pytest.fixture(scope="module")
def clips() -> ComparisonClips:
    """Synthetic sound, since nothing is prepared."""
    return comparison_clips(CHECKPOINT.header, None, Path("nowhere"), 8)


def test_synthetic_sound_stands_in_for_clips_that_are_not_prepared(clips: ComparisonClips) -> None:
    """Where the data set is not prepared, the exports are compared on several different sounds, and that is told."""
    assert not clips.real
    assert clips.inputs.shape[1:] == (64, 101)
    assert len(np.unique(clips.inputs.reshape(len(clips.inputs), -1), axis=0)) == len(clips.inputs) > 2


@needs_sandbox
def test_every_format_gives_the_scores_of_the_original(tmp_path: Path, clips: ComparisonClips) -> None:
    """ONNX, .pt2 and TorchScript differ from the network by at most 1e-4 and carry its header."""
    wanted = outputs(tmp_path, Format.ONNX, Format.EXPORTED_PROGRAM, Format.TORCHSCRIPT)
    written = list(export(CHECKPOINT, clips.inputs, wanted))
    assert [one.format for one in written] == list(wanted)
    for one in written:
        assert one.largest_difference <= 1e-4
        file = read_model_file(one.path)
        assert file.format == one.format
        assert header_of_export(file) == CHECKPOINT.header


def test_an_export_that_differs_is_not_written(
    tmp_path: Path, clips: ComparisonClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the export's scores are off by more than the tolerance, there is no file, and an old one stays."""
    wanted = outputs(tmp_path, Format.ONNX)
    wanted[Format.ONNX].write_bytes(b"old")
    honest = module.score_inputs
    monkeypatch.setattr(module, "score_inputs", lambda *arguments: honest(*arguments) + 2e-4)
    with pytest.raises(CheckFailedError, match=r"differ by 0\.0002"):
        list(export(CHECKPOINT, clips.inputs, wanted))
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert wanted[Format.ONNX].read_bytes() == b"old"


def test_scores_that_are_no_numbers_are_a_difference(
    tmp_path: Path, clips: ComparisonClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN compares as different."""
    monkeypatch.setattr(module, "score_inputs", lambda _file, inputs: np.full((len(inputs), 12), np.nan))
    with pytest.raises(CheckFailedError):
        list(export(CHECKPOINT, clips.inputs, outputs(tmp_path, Format.ONNX)))


def test_equal_checkpoints_give_equal_bytes(tmp_path: Path, clips: ComparisonClips) -> None:
    """Two exports to ONNX are the same file."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        list(export(CHECKPOINT, clips.inputs[:1], outputs(tmp_path / name, Format.ONNX)))
    assert (tmp_path / "a" / "model.onnx").read_bytes() == (tmp_path / "b" / "model.onnx").read_bytes()
