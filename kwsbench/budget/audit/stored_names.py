"""The names of stored numbers: everything that can be found in a network without running it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

_MOST = 100_000  # things to look at inside plain attributes
_NOT_COUNTED = "num_batches_tracked"


@dataclass(frozen=True)
class Stored:
    """A tensor that belongs to a network.

    Attributes:
        name: Where it is (`blocks.0.conv.weight`).
        owner: Path of the module that it belongs to (`blocks.0.conv`); empty for the network itself.
        tensor: Its numbers.
        is_registered: It is a parameter or buffer, or a constant of a script, not a plain attribute.
        is_constant: It is a constant of a script.
    """

    name: str
    owner: str
    tensor: Any
    is_registered: bool = True
    is_constant: bool = False

    @property
    def is_parameter_or_buffer(self) -> bool:
        """Whether a state_dict may hold it."""
        return self.is_registered and not self.is_constant

    @property
    def layer(self) -> str:
        """The name of the layer that it counts for."""
        return self.owner or self.name


def stored_in(network: Any) -> list[Stored]:
    """Returns every tensor of a network once per name: parameters, buffers, script constants, plain attributes."""
    found = [*_registered(network), *_constants(network), *_attributes(network)]
    by_place: dict[tuple[Any, ...], Stored] = {}
    for one in found:
        by_place.setdefault((address_of(one.tensor), *_extent(one.tensor)), one)
    return list(by_place.values())


def address_of(tensor: Any) -> int:
    """Returns what the storage of a tensor is known by as long as it lives."""
    address: int = tensor.untyped_storage()._cdata  # noqa: SLF001 - the only identity that a storage has
    return address


def _extent(tensor: Any) -> tuple[Any, ...]:
    return tensor.dtype, tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


def _registered(network: Any) -> Iterator[Stored]:
    for named in (network.named_parameters, network.named_buffers):
        for name, tensor in named(remove_duplicate=False):
            if tensor is not None and _is_dense(tensor) and not _is_counter(name, tensor):
                yield Stored(name, name.rpartition(".")[0], tensor)


def _is_counter(name: str, tensor: Any) -> bool:
    return bool(name.endswith(_NOT_COUNTED) and tensor.numel() == 1)


def _constants(network: Any) -> Iterator[Stored]:
    import torch

    if not isinstance(network, torch.jit.ScriptModule) or not hasattr(network, "graph"):
        return
    graph: Any = network.inlined_graph  # held, because its nodes live no longer than it
    nodes = [node for node in graph.findAllNodes("prim::Constant") if node.hasAttribute("value")]
    tensors = [one for node in nodes for one in _constant_tensors(node)]
    for number, tensor in enumerate(filter(_is_dense, tensors)):
        yield Stored(f"constant {number}", f"constant {number}", tensor, is_constant=True)


def _constant_tensors(node: Any) -> list[Any]:
    kind = node.kindOf("value")
    if kind == "t":
        return [node.t("value")]
    return list(node.ts("value")) if kind == "ts" else []


def _attributes(network: Any) -> Iterator[Stored]:
    import torch

    seen: set[int] = set()
    for path, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        own = {name: value for name, value in vars(module).items() if not _is_machinery(name)}
        for name, tensor in _tensors(own, path, seen):
            yield Stored(name, path, tensor, is_registered=isinstance(module, torch.fx.GraphModule))


def _is_machinery(name: str) -> bool:
    # What torch.nn.Module and torch.fx.GraphModule keep for themselves.
    hooks = name.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called"))
    return hooks or name in {"_parameters", "_buffers", "_modules", "_graph", "_code", "meta"}


def _tensors(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    import torch

    waiting = [(path, value)]
    while waiting and len(seen) < _MOST:
        name, one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray) and one.dtype.kind in "biufc":
            yield name, torch.from_numpy(one if one.flags.writeable and one.dtype.isnative else one.copy())
        elif isinstance(one, torch.Tensor):
            if type(one) in {torch.Tensor, torch.nn.Parameter} and _is_dense(one):
                yield name, one
        else:
            waiting += _inside(name, one)


def _inside(name: str, value: Any) -> list[tuple[str, Any]]:
    import torch

    if isinstance(value, dict):
        return [(f"{name}.{key}" if name else str(key), one) for key, one in reversed(value.items())]
    if isinstance(value, list | tuple | set | frozenset):
        return [(f"{name}.{number}", one) for number, one in reversed(list(enumerate(value)))]
    is_thing = hasattr(value, "__dict__") and not isinstance(value, type | torch.nn.Module) and not callable(value)
    return _inside(name, vars(value)) if is_thing else []


def _is_dense(tensor: Any) -> bool:
    import torch

    return bool(tensor.layout == torch.strided and tensor.device.type == "cpu")
