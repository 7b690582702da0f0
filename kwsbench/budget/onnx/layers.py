"""What an ONNX graph costs by layer, in the order of its nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kwsbench.budget.onnx.graph import Graph, Step
from kwsbench.budget.onnx.names import layer_of_step, layer_of_tensor
from kwsbench.budget.onnx.propagation import Propagation
from kwsbench.budget.onnx.shapes import second
from kwsbench.budget.onnx.stored import Inventory
from kwsbench.budget.report import Convolution, Layer
from kwsbench.checkpoint.onnx_file import names

_CONVOLUTIONS = names("Conv ConvInteger QLinearConv")


@dataclass
class _Tally:
    """The costs of one layer, as they add up."""

    params: int = 0
    weight_bytes: int = 0
    macs: int = 0
    kind: str = ""
    dearest: int = -1
    convolution: Convolution | None = None
    dearest_convolution: int = 0

    def add(self, step: Step, macs: int, convolution: Convolution | None) -> None:
        self.macs += macs
        if macs > self.dearest:
            self.kind, self.dearest = step.op, macs
        if convolution is not None and macs > self.dearest_convolution:
            self.convolution, self.dearest_convolution = convolution, macs

    def layer(self, name: str) -> Layer:
        return Layer(
            name=name,
            kind=self.kind,
            params=self.params,
            macs=self.macs,
            weight_bytes=self.weight_bytes,
            convolution=self.convolution,
        )


def layers_of(graph: Graph, found: Propagation, inventory: Inventory, macs: Mapping[str, int]) -> tuple[Layer, ...]:
    """Returns every layer that multiplies or stores anything.

    Args:
        graph: The graph.
        found: The values of the graph.
        inventory: What it stores.
        macs: MACs of the steps that could be counted, by their names.
    """
    layer_of = _layer_names(graph, inventory)
    tallies: dict[str, _Tally] = {}
    for step in graph.steps:
        if step.name in macs:
            tally = tallies.setdefault(layer_of[step.name], _Tally())
            tally.add(step, macs[step.name], _convolution(step, found))
    for tensor in inventory.counted:
        reader = layer_of.get(tensor.step.name, tensor.step.name) if tensor.step else tensor.name
        tally = tallies.setdefault(layer_of_tensor(tensor.name) or reader, _Tally(kind="stored"))
        tally.params += tensor.elements
        tally.weight_bytes += tensor.num_bytes
    return tuple(tally.layer(name) for name, tally in tallies.items() if tally.params or tally.macs)


def _layer_names(graph: Graph, inventory: Inventory) -> dict[str, str]:
    owned: dict[str, str] = {}
    for tensor in inventory.counted:
        if tensor.step is not None and (owner := layer_of_tensor(tensor.name)):
            owned.setdefault(tensor.step.name, owner)
    return {step.name: owned.get(step.name) or layer_of_step(step) for step in graph.steps}


def _convolution(step: Step, found: Propagation) -> Convolution | None:
    if step.op not in _CONVOLUTIONS:
        return None
    weight = found.values[step.inputs[second(step)]]
    if weight.depends:
        return None
    out_channels, channels_per_group, *kernel = weight.shape
    groups = step.attributes.get("group", 1)
    return Convolution(
        out_channels=out_channels, in_channels=channels_per_group * groups, kernel=math.prod(kernel), groups=groups
    )
