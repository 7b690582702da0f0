"""The numbers that an ONNX graph stores: how many count, what they weigh, and to which layer they belong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kwsbench.budget.onnx.graph import Graph, Step
from kwsbench.budget.onnx.propagation import Propagation
from kwsbench.budget.onnx.trace import Trace, Trail, trace
from kwsbench.budget.report import Finding
from kwsbench.checkpoint.onnx_file import names

FREE_SCALARS = 16
"""So many different scalar constants (a slope, an exponent, a mean) belong to the code and not to the weights."""

_WEIGHTED = names("""
    Attention BatchNormalization Conv ConvInteger ConvTranspose DequantizeLinear Einsum GRU Gather GatherElements
    GatherND Gemm GroupNormalization InstanceNormalization LSTM LayerNormalization MatMul MatMulInteger PRelu QGemm
    QLinearAdd QLinearAveragePool QLinearConcat QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMatMul
    QLinearMul QLinearSigmoid QLinearSoftmax QuantizeLinear RMSNormalization RNN
""")
_CALCULATING = names("Add BitShift BitwiseAnd Clip Div Max Min Mod Mul Pow Range Sub Where")
_QUANTISING = names("DequantizeLinear QuantizeLinear")
_RUNNING_STATISTICS = (3, 4)
_NO_SCALARS = ("momentum", "seed")


@dataclass(frozen=True)
class Counted:
    """A stored tensor that counts.

    Attributes:
        name: Its name.
        elements: Numbers that it counts.
        num_bytes: Bytes that they take in the file.
        step: The first step that reads it as data; None where nothing does.
    """

    name: str
    elements: int
    num_bytes: int
    step: Step | None


@dataclass
class Inventory:
    """Everything that is stored in a graph.

    Attributes:
        counted: The tensors that count.
        statistics: Running means and variances of batch norms, which fold into scale and shift.
        structure: Numbers that only say how something is shaped.
        findings: What a reader must know.
    """

    counted: list[Counted] = field(default_factory=list)
    statistics: int = 0
    structure: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def params(self) -> int:
        """Stored numbers that count."""
        return sum(tensor.elements for tensor in self.counted)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the stored numbers that count, at their stored width."""
        return sum(tensor.num_bytes for tensor in self.counted)


def inventory_of(graph: Graph, found: Propagation) -> Inventory:
    """Takes stock of what a graph stores.

    Args:
        graph: The graph.
        found: The values of the graph.
    """
    inventory, scalars = Inventory(), list[Trail]()
    traced = trace(graph, found)
    for trail in traced.trails.values():
        if _is_scalar(trail):
            scalars.append(trail)
        else:
            _count(inventory, trail)
    _count_scalars(inventory, scalars, _attribute_scalars(graph.steps))
    _explain(inventory, traced)
    return inventory


def _is_scalar(trail: Trail) -> bool:
    if not trail.uses or trail.stored.elements != 1 or trail.parts != 1:
        return False
    return trail.readers <= _CALCULATING or not any(use.step.op in _WEIGHTED for use in trail.uses)


def _count(inventory: Inventory, trail: Trail) -> None:
    if trail.uses and all(_is_statistic(use.step, use.position) for use in trail.uses):
        inventory.statistics += trail.elements
    elif not trail.uses and trail.is_structure:
        inventory.structure += trail.stored.elements
    elif trail.uses or not trail.is_random:
        inventory.counted.append(_counted(trail))


def _is_statistic(step: Step, position: int) -> bool:
    is_running = position in _RUNNING_STATISTICS and not step.attributes.get("training_mode", 0)
    return step.op == "BatchNormalization" and is_running


def _counted(trail: Trail) -> Counted:
    readers = [use.step for use in trail.uses]
    beyond = [step for step in readers if step.op not in _QUANTISING]
    first = next(iter([*beyond, *readers]), None)
    return Counted(trail.stored.name, trail.elements, trail.stored.num_bytes, first)


def _attribute_scalars(steps: Iterable[Step]) -> set[str]:
    found: set[str] = set()
    for step in steps:
        for key, content in step.attributes.items():
            parts = content if isinstance(content, list) else [content]
            if key not in _NO_SCALARS:
                found |= {repr(float(part)) for part in parts if isinstance(part, float) and part not in {0.0, 1.0}}
    return found


def _count_scalars(inventory: Inventory, scalars: list[Trail], attributes: set[str]) -> None:
    distinct = {_content(trail) for trail in scalars} | attributes
    if len(distinct) <= FREE_SCALARS:
        return
    inventory.counted += [_counted(trail) for trail in scalars]
    more = len(attributes - {_content(trail) for trail in scalars})
    if more:
        inventory.counted.append(Counted("scalar attributes", more, 4 * more, None))
    inventory.findings.append(
        Finding(
            message=f"{len(distinct)} different scalar constants, more than the {FREE_SCALARS} that are free: all of them count"
        )
    )


def _content(trail: Trail) -> str:
    numbers = trail.stored.value.numbers
    number = complex(numbers.reshape(-1)[0]) if numbers is not None else math.nan
    return repr(number.real if isinstance(number, complex) and not number.imag else number)


def _explain(inventory: Inventory, traced: Trace) -> None:
    trails = traced.trails.values()
    unused = [trail for trail in trails if not trail.uses and not trail.is_structure and not trail.is_random]
    _tell(inventory, "stored and never read; counted all the same", _elements(unused))
    random = [trail for trail in trails if trail.uses and trail.is_random]
    _tell(inventory, "made from a seed; counted as if stored", _elements(random))
    packed = [trail for trail in trails if trail.elements > trail.stored.elements]
    _tell(inventory, "several numbers packed into each stored one; counted unpacked", _elements(packed))
    _tell(inventory, "computed from far fewer stored ones; only those count", traced.computed)


def _elements(trails: Iterable[Trail]) -> dict[str, int]:
    return {trail.stored.name: trail.elements for trail in trails}


def _tell(inventory: Inventory, what: str, sizes: Mapping[str, int]) -> None:
    if sizes:
        shown = ", ".join(map(repr, list(sizes)[:3])) + (", ..." if len(sizes) > 3 else "")
        elements = sum(sizes.values())
        inventory.findings.append(Finding(message=f"{shown} ({elements:,} numbers): {what}"))
