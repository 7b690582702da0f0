"""onnxruntime runs on one thread, says nothing by itself, and fails with one sentence."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest

from kwsbench.errors import InputError
from kwsbench.runtime.onnx_sessions import open_session, run_session

CLIP = np.array([[1.0, -2.0, 3.0]], np.float32)


def model_of(body: str) -> bytes:
    """A model of float[1, 3] x."""
    head = '<ir_version: 8, opset_import: ["" : 17]>'
    text = f"{head} g (float[1, 3] x) => (y, z) <float[2] w = {{1, 2}}> {{ {body} }}"
    return bytes(onnx.parser.parse_model(text).SerializeToString())


SOUND = model_of("y = Relu(x) z = Identity(y)")


@pytest.mark.parametrize("optimised", [True, False])
def test_a_session_returns_all_outputs_in_their_order(optimised: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Rewritten or as it stands, a model gives the same numbers."""
    y, z = run_session(open_session(SOUND, optimised=optimised), {"x": CLIP})
    assert y.tolist() == z.tolist() == [[1.0, 0.0, 3.0]]


def test_a_session_uses_one_thread_and_the_processor() -> None:
    """Times and results are comparable, because nothing depends on the machine's number of cores."""
    session = open_session(SOUND)
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert session.get_providers() == ["CPUExecutionProvider"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no model",
        SOUND[:-20],
        model_of("y = Add(x, w) z = Relu(x)"),
        model_of("y = NoSuch(x) z = Relu(x)"),
        model_of(f"y = {'N' * 900}(x) z = Relu(x)"),
    ],
    ids=["empty", "text", "cut off", "shapes that do not fit", "unknown operator", "long name"],
)
def test_a_model_that_cannot_be_opened_is_wrong_input(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """One line gives onnxruntime's reason, cut short, and nothing is printed beside it."""
    with pytest.raises(InputError, match=r"^onnxruntime cannot run the model: ") as caught:
        open_session(data)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 600
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("inputs", [{}, {"other": CLIP}, {"x": CLIP.astype(np.float64)}, {"x": CLIP[:, :2]}])
def test_an_input_that_does_not_fit_is_wrong_input(
    inputs: dict[str, np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    """A missing input, another name, another type and another shape are one sentence each, and nothing is printed."""
    session = open_session(SOUND)
    with pytest.raises(InputError, match="onnxruntime cannot run the model"):
        run_session(session, inputs)
    assert capfd.readouterr() == ("", "")


def test_without_onnxruntime_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an optional part of the kit."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'kwsbench\[onnx\]'"):
        open_session(SOUND)
