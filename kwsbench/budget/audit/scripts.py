"""What TorchScript does beside operators: lists and numbers of its own, and attributes that it changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_NAME = re.compile(r"^ *(\w+) = ", re.MULTILINE)
_WAYS_OUT = {"prim::tolist": "tolist()"}


def scripts_in(network: Any) -> Iterator[Any]:
    """Yields the scripts in a network that are not part of another one."""
    import torch

    if isinstance(network, torch.jit.ScriptModule):
        yield network
        return
    for child in network.children():
        yield from scripts_in(child)


def ways_out(network: Any) -> list[str]:
    """Returns by which functions tensors leave PyTorch in the scripts of a network."""
    graphs = [script.inlined_graph for script in scripts_in(network) if hasattr(script, "graph")]
    return [name for kind, name in _WAYS_OUT.items() if any(graph.findNode(kind) is not None for graph in graphs)]


def attributes_of(network: Any) -> list[Any]:
    """Returns the values of all attributes of the scripts in a network, module by module."""
    values: list[Any] = []
    for script in scripts_in(network):
        names = sorted(set(_NAME.findall(script._c.dump_to_str(False, True, False))))  # noqa: FBT003, SLF001
        modules = [module._c for module in script.modules()]  # noqa: SLF001 - only it tells what is no tensor
        values += [module.getattr(name) for module in modules for name in names if module.hasattr(name)]
    return values
