"""Scores from models of every format: kwsbench's own networks here, everything else in the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.checkpoint.lightgbm import booster_of, label_scores, parse_lightgbm
from kwsbench.checkpoint.model_file import Format, ModelFile
from kwsbench.checkpoint.onnx_file import load_graph
from kwsbench.errors import InputError
from kwsbench.extras import import_torch
from kwsbench.runtime.definitions import Definition
from kwsbench.runtime.networks import NetworkSource, network_of, request_of, source_of
from kwsbench.runtime.onnx_sessions import open_session, run_session
from kwsbench.sandbox import call, unavailable_reason

Scores = NDArray[np.float64]
"""Scores of shape (clips, labels)."""

_CLIPS_PER_BATCH = 256
_BYTES_PER_CALL = 64 << 20


Score = Callable[[NDArray[np.float32]], Scores]
"""From what clips sound like to a model, shape (clips, ...), to its scores."""


def score_inputs(model: ModelFile, inputs: NDArray[np.float32], baselines: Path | None = None) -> Scores:
    """Runs a model on inputs once; see `open_model`."""
    return open_model(model, baselines)(inputs)


def open_model(model: ModelFile, baselines: Path | None = None, definition: Definition | None = None) -> Score:
    """Opens a model for any number of inputs, as its trust allows.

    TorchScript, `.pt2` and a definition with its weights run in the sandbox or not at all. ONNX and LightGBM models, which are data and run none of
    their author's code, run in the sandbox where there is one, since the libraries that read them have had bugs.

    Args:
        model: The model file.
        baselines: Folder of the baselines that a checkpoint may name.
        definition: The architecture of a file that holds weights only.

    Returns:
        What gives its scores. It raises InputError where the model cannot be run on the inputs or its scores are not
        finite numbers, and RefusedError where it needs a sandbox and there is none, or broke the limits there.

    Raises:
        InputError: The model cannot be opened.
    """
    source = NetworkSource(model, definition, baselines)
    if model.format == Format.KWSBENCH and definition is None:
        network = network_of(source)
        return lambda inputs: _checked(score_with_network(network, inputs), inputs)
    trusted_enough = model.format in (Format.ONNX, Format.LIGHTGBM) and unavailable_reason() is not None
    run = _opened_here(source) if trusted_enough else partial(_score_in_sandbox, source)
    return lambda inputs: _checked(_in_parts(run, inputs), inputs)


def _in_parts(run: Score, inputs: NDArray[np.float32]) -> Scores:
    per_call = max(1, _BYTES_PER_CALL // max(1, inputs[:1].nbytes))
    return np.concatenate([run(inputs[start : start + per_call]) for start in range(0, len(inputs), per_call)])


def score_with_network(network: Any, inputs: NDArray[np.float32]) -> Scores:
    """Runs a torch network on inputs of shape (clips, ...), in batches, or clip by clip where it takes only one."""
    torch = import_torch()

    def run(batch: NDArray[np.float32]) -> NDArray[Any]:
        with torch.no_grad():
            output = network(torch.from_numpy(np.ascontiguousarray(batch)))
        if not isinstance(output, torch.Tensor):
            raise InputError(f"the model gives a {type(output).__name__}, expected one tensor of scores")
        return np.asarray(output.numpy())

    return _in_batches(run, inputs)


def score_task(
    request: dict[str, Any], arrays: dict[str, NDArray[Any]], files: Mapping[str, Path]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The task of the sandbox: runs the model on the inputs there."""
    return {}, {"scores": _opened_here(source_of(request, files))(arrays["inputs"])}


def _score_in_sandbox(source: NetworkSource, inputs: NDArray[np.float32]) -> Scores:
    task = "kwsbench.runtime.scores:score_task"
    request, files = request_of(source)
    reply = call(task, request, {"inputs": inputs}, files, what=str(source.model.path))
    if set(reply.arrays) != {"scores"}:
        raise InputError(f"{source.model.path} gave no scores")
    return np.asarray(reply.arrays["scores"], np.float64)


def _opened_here(source: NetworkSource) -> Score:
    model = source.model
    if model.format == Format.ONNX:
        return partial(_in_batches, _onnx_run(model))
    if model.format == Format.LIGHTGBM:
        checkpoint = parse_lightgbm(model.path, model.data)
        booster, num_labels = booster_of(checkpoint, model.path), len(checkpoint.header.labels)
        return lambda inputs: label_scores(booster, inputs, num_labels)
    return partial(score_with_network, network_of(source))


def _onnx_run(model: ModelFile) -> Callable[[NDArray[np.float32]], NDArray[Any]]:
    session = open_session(load_graph(model.data, str(model.path)).SerializeToString())
    name = session.get_inputs()[0].name
    return lambda batch: np.asarray(run_session(session, {name: batch})[0])


def _in_batches(run: Callable[[NDArray[np.float32]], NDArray[Any]], inputs: NDArray[np.float32]) -> Scores:
    size = _CLIPS_PER_BATCH if _takes_batches(run, inputs) else 1
    parts = [run(inputs[start : start + size]) for start in range(0, len(inputs), size)]
    return np.concatenate([np.atleast_1d(np.asarray(part, np.float64)) for part in parts])


def _takes_batches(run: Callable[[NDArray[np.float32]], NDArray[Any]], inputs: NDArray[np.float32]) -> bool:
    """Whether a batch of two gives scores for two; a model that was exported for one clip takes no more."""
    try:
        return len(inputs) < 2 or len(run(inputs[:2])) == 2
    except Exception:  # noqa: BLE001 - whatever the library raises: if one clip fails too, that is what is told
        return False


def _checked(scores: Scores, inputs: NDArray[np.float32]) -> Scores:
    if scores.ndim != 2 or len(scores) != len(inputs):
        raise InputError(f"the model gives scores of shape {scores.shape} for {len(inputs)} clips, expected 2 axes")
    if not np.isfinite(scores).all():
        raise InputError("the model gives scores that are not finite numbers")
    return scores
