"""The audit of ONNX graphs: counted from what the file says, without torch, and compared with two other sources.

`graph` reads a model into steps; `shapes` and `movement` hold the rules by which `propagation` follows shapes through
them; `costs` says what a step multiplies and `second_count` says it again in another wording; `trace` and `stored`
follow the stored numbers. Neither onnx nor onnxruntime is imported before something is counted.
"""

from __future__ import annotations

from kwsbench.budget.onnx.audit import audit_onnx, inputs_for
from kwsbench.budget.onnx.graph import Shape, read_graph

__all__ = ["Shape", "audit_onnx", "inputs_for", "read_graph"]
