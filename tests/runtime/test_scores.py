"""`kwsbench.runtime.scores`: one answer for every format, and one message for everything that is no answer."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from kwsbench.checkpoint.model_file import ModelFile, read_model_file
from kwsbench.checkpoint.network import NetworkCheckpoint, save_network
from kwsbench.errors import InputError, RefusedError
from kwsbench.predict import load_model
from kwsbench.runtime import scores
from kwsbench.runtime.networks import input_shape_of
from kwsbench.runtime.scores import score_inputs, score_with_network
from tests.checkpoints import checkpoint_of, write_checkpoint
from tests.sandboxed import needs_sandbox

CLIPS, COEFFICIENTS, FRAMES, LABELS = 5, 4, 6, 3


class Mean(nn.Module):
    """The mean over time, times a matrix."""

    def __init__(self, weight: NDArray[np.float32]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(weight))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return x.mean(-1) @ self.weight


@pytest.fixture
def weight() -> NDArray[np.float32]:
    """The matrix, shape (coefficients, labels)."""
    return np.random.default_rng(1).standard_normal((COEFFICIENTS, LABELS)).astype(np.float32)


@pytest.fixture
def inputs() -> NDArray[np.float32]:
    """What five clips sound like."""
    return np.random.default_rng(2).standard_normal((CLIPS, COEFFICIENTS, FRAMES)).astype(np.float32)


def _write_script(path: Path, network: nn.Module, batch: int) -> None:
    assert batch
    torch.jit.save(torch.jit.script(network), path)


def _write_exported(path: Path, network: nn.Module, batch: int) -> None:
    shapes = ({0: torch.export.Dim("batch")},) if batch > 1 else None
    example = (torch.zeros(batch, COEFFICIENTS, FRAMES),)
    torch.export.save(torch.export.export(network, example, dynamic_shapes=shapes), path)


def _write_onnx(path: Path, network: nn.Module, batch: int) -> None:
    axes = {"x": {0: "batch"}} if batch > 1 else None
    example = (torch.zeros(batch, COEFFICIENTS, FRAMES),)
    torch.onnx.export(network, example, path, dynamo=False, input_names=["x"], dynamic_axes=axes)


WRITERS = {"torchscript": _write_script, "pt2": _write_exported, "onnx": _write_onnx}


def _model(kind: str, folder: Path, network: nn.Module, batch: int = 2) -> ModelFile:
    """A network as a file of this format, which takes any number of clips unless `batch` is 1."""
    path = folder / "model.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        WRITERS[kind](path, network.eval(), batch)
    return read_model_file(path)


@needs_sandbox
@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_scores_of_its_formula(
    kind: str, weight: NDArray[np.float32], inputs: NDArray[np.float32], tmp_path: Path
) -> None:
    """TorchScript, .pt2 and ONNX give what NumPy computes, as float64 of shape (clips, labels)."""
    found = score_inputs(_model(kind, tmp_path, Mean(weight)), inputs)
    assert found.dtype == np.float64
    assert found.shape == (CLIPS, LABELS)
    np.testing.assert_allclose(found, inputs.mean(-1) @ weight, atol=1e-5)


@needs_sandbox
@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_a_model_for_one_clip_is_run_clip_by_clip(
    kind: str, weight: NDArray[np.float32], inputs: NDArray[np.float32], tmp_path: Path
) -> None:
    """An export whose batch is fixed at 1 gives the same scores as one that takes batches."""
    found = score_inputs(_model(kind, tmp_path, Mean(weight), batch=1), inputs)
    np.testing.assert_allclose(found, inputs.mean(-1) @ weight, atol=1e-5)


@needs_sandbox
def test_more_clips_than_one_call_takes_are_scored_in_their_order(
    weight: NDArray[np.float32], inputs: NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips that go into the sandbox in several calls come back as if in one."""
    monkeypatch.setattr(scores, "_BYTES_PER_CALL", 2 * inputs[:1].nbytes)
    found = score_inputs(_model("torchscript", tmp_path, Mean(weight)), inputs[:3])
    np.testing.assert_allclose(found, inputs[:3].mean(-1) @ weight, atol=1e-5)


def test_batches_do_not_change_the_order(
    weight: NDArray[np.float32], inputs: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A last batch that is not full is scored like the others."""
    monkeypatch.setattr(scores, "_CLIPS_PER_BATCH", 2)
    np.testing.assert_allclose(score_with_network(Mean(weight), inputs), inputs.mean(-1) @ weight, atol=1e-5)


@needs_sandbox
@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_inputs_of_another_shape_are_one_message(
    kind: str, weight: NDArray[np.float32], inputs: NDArray[np.float32], tmp_path: Path
) -> None:
    """A model for 4 coefficients that is given 3 is an error of the input, in one line."""
    model = _model(kind, tmp_path, Mean(weight))
    with pytest.raises(InputError) as caught:
        score_inputs(model, inputs[:, :3])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "refused"), [("torchscript", True), ("pt2", True), ("onnx", False)], ids=["torchscript", "pt2", "onnx"]
)
def test_without_a_sandbox_only_data_is_run(  # noqa: PLR0913, PLR0917 - fixtures
    kind: str,
    refused: bool,  # noqa: FBT001
    weight: NDArray[np.float32],
    inputs: NDArray[np.float32],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where bubblewrap is missing programs are refused, and an ONNX graph gives its scores."""
    model = _model(kind, tmp_path, Mean(weight))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(scores, "unavailable_reason", lambda: "there is no sandbox")
    if refused:
        with pytest.raises(RefusedError, match="opened in the sandbox only"):
            score_inputs(model, inputs)
    else:
        np.testing.assert_allclose(score_inputs(model, inputs), inputs.mean(-1) @ weight, atol=1e-5)


def test_weights_that_are_no_numbers_give_no_scores(tmp_path: Path) -> None:
    """A checkpoint of NaN is one message, not a table of NaN."""
    checkpoint = checkpoint_of("conv1d_sber")
    broken = {
        name: torch.full_like(tensor, torch.nan) if tensor.is_floating_point() else tensor
        for name, tensor in checkpoint.state_dict.items()
    }
    save_network(tmp_path / "model.pt", NetworkCheckpoint(checkpoint.header, broken))
    inputs = np.zeros((2, *input_shape_of(checkpoint.header)), np.float32)
    with pytest.raises(InputError, match="scores that are not finite numbers"):
        score_inputs(read_model_file(tmp_path / "model.pt"), inputs)


class Answers(nn.Module):
    """Gives what it was made with, whatever it hears."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: torch.Tensor) -> Any:  # noqa: D102
        return self.answer(x)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda x: x, r"scores of shape \(5, 4, 6\) for 5 clips, expected 2 axes"),
        (lambda x: (x, x), "gives a tuple, expected one tensor of scores"),
        (lambda x: {"scores": x}, "gives a dict, expected one tensor of scores"),
        (lambda _: None, "gives a NoneType"),
        (lambda x: x.sum(), "scores of shape"),
    ],
    ids=["three axes", "a tuple", "a dict", "nothing", "one number"],
)
def test_what_is_no_table_of_scores_is_one_message(
    answer: Any, says: str, inputs: NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another number of axes, several results, or none are told in one sentence."""
    save_network(tmp_path / "model.pt", checkpoint_of("conv1d_sber"))
    monkeypatch.setattr(scores, "network_of", lambda _: Answers(answer))
    with pytest.raises(InputError, match=says):
        score_inputs(read_model_file(tmp_path / "model.pt"), inputs)


def test_a_model_is_opened_once_for_any_number_of_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What listens to a stream asks a checkpoint for every window, and its network is made for the first one."""
    made: list[str] = []
    honest = scores.network_of
    monkeypatch.setattr(scores, "network_of", lambda source: made.append(str(source.model.path)) or honest(source))
    model = load_model(write_checkpoint(tmp_path / "model.pt"))
    heard = np.zeros((2, 64, 101), np.float32)
    assert (model.scores(heard) == model.scores(heard)).all()
    assert len(made) == 1
