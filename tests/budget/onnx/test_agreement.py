"""An ONNX graph is counted in two ways, and a third where it runs: what they do not agree on is not certified."""

from __future__ import annotations

import pytest

from kwsbench.budget.onnx import audit, second_count
from kwsbench.budget.onnx.graph import Step
from tests.budget.onnx.models import audit_of, blocking, graph_of
from tests.budget.onnx.test_operators import CASES

WORDED_TWICE = {
    "Conv": "convolution",
    "ConvInteger": "integer convolution",
    "QLinearConv": "quantised convolution",
    "ConvTranspose": "transposed convolution",
    "Gemm": "Gemm with factors",
    "MatMul": "matrix product",
    "MatMulInteger": "integer product",
    "QGemm": "quantised Gemm",
    "QLinearMatMul": "quantised product",
    "GRU": "GRU, both directions",
    "LSTM": "LSTM with peepholes",
    "RNN": "RNN",
}


@pytest.mark.parametrize("operator", WORDED_TWICE)
@pytest.mark.parametrize("runs", [True, False])
def test_a_slip_in_the_formula_of_a_product_blocks(
    operator: str,
    runs: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Were the first wording one MAC off, the second would contradict it, and the node would be named."""
    header, body, macs = CASES[WORDED_TWICE[operator]]
    right = audit.macs_of

    def one_off(step: Step, *parts: object) -> int | None:
        found = right(step, *parts)  # type: ignore[arg-type]
        return found + 1 if step.op == operator and found is not None else found

    monkeypatch.setattr(audit, "macs_of", one_off)
    counted = audit_of(graph_of(body, header), run=runs)
    assert counted.macs == macs + 1
    assert any(f"({operator}) has {macs + 1:,} MACs" in message for message in blocking(counted))


def test_every_product_is_worded_twice_and_tested_here() -> None:
    """The two tables name the same operators; attention has a test of its own."""
    assert set(second_count._OTHER_WORDING) == {*WORDED_TWICE, "Attention"}


@pytest.mark.parametrize("operator", ["MaxPool", "Relu"])
def test_a_slip_in_a_rule_for_shapes_blocks(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a shape wrong by kwsbench's rules, shape inference and onnxruntime would contradict it."""
    from kwsbench.budget.onnx.shapes import RULES

    monkeypatch.setitem(RULES, operator, lambda *_: [(1, 4, 7)])
    data = graph_of("p = MaxPool<kernel_shape = [3]>(x) r = Relu(x) a = Mul(p, p) y = Mul(r, r)", out="a, y")
    for runs in (True, False):
        messages = " ".join(blocking(audit_of(data, run=runs)))
        assert "(1, 4, 7) by kwsbench's rules" in messages
        assert "shape inference" in messages
        assert ("onnxruntime" in messages) is runs


def test_all_counts_agree_on_what_is_sound() -> None:
    """Without a slip the same graph has no finding at all."""
    assert not audit_of(graph_of("p = MaxPool<kernel_shape = [3]>(x) y = Mul(p, p)")).findings
