"""onnxruntime on one thread, quiet, and with errors that say what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from kwsbench.errors import InputError
from kwsbench.extras import import_extra

_MOST_CHARACTERS = 500


def open_session(data: bytes, *, optimised: bool = True) -> Any:
    """Opens a session of onnxruntime on a serialised model.

    Args:
        data: The model, which `load_graph` has let pass.
        optimised: Let onnxruntime rewrite the graph; else it runs as it is written.

    Raises:
        InputError: onnxruntime is not installed, or cannot run the model.
    """
    onnxruntime = import_extra("onnxruntime", "onnx")
    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _cannot_run(error) from error


def run_session(session: Any, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Runs a model and returns all of its outputs. Raises InputError where it fails."""
    try:
        return list(session.run(None, dict(inputs)))
    except Exception as error:
        raise _cannot_run(error) from error


def _cannot_run(error: Exception) -> InputError:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return InputError(f"onnxruntime cannot run the model: {reason[:_MOST_CHARACTERS]}")
