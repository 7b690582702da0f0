"""What a network keeps from one run to the next, and how to put it back."""

from __future__ import annotations

from typing import Any

from kwsbench.budget.audit.hidden_values import hidden_values
from kwsbench.budget.audit.scripts import attributes_of
from kwsbench.budget.audit.stored_names import Stored

_CONTAINERS = (dict, list, set)
_PLAIN = (bool, int, float, complex, str, bytes)


class State:
    """The state of a network at one time: its tensors, attributes and lists as they are now.

    Args:
        network: A module.
        stored: The tensors that belong to it.
    """

    def __init__(self, network: Any, stored: list[Stored]) -> None:
        self._network = network
        modules = list(network.modules())
        self._tensors = [(one.tensor, one.tensor.clone()) for one in stored]
        self._attributes = [(vars(module), _copied(vars(module))) for module in modules if not _is_script(module)]
        self._buffers = [
            (module, dict(module.named_buffers(recurse=False))) for module in modules if _is_script(module)
        ]

    def has_changed(self) -> bool:
        """Whether a run has left anything behind."""
        import torch

        if any(not torch.equal(tensor, held) for tensor, held in self._tensors):
            return True
        return any(_differ(attributes, held) for attributes, held in self._attributes) or any(
            module_buffers[name] is not buffer
            for module, buffers in self._buffers
            for module_buffers in [dict(module.named_buffers(recurse=False))]
            for name, buffer in buffers.items()
        )

    def plain_values(self) -> list[Any]:
        """Returns numbers and texts among the attributes and in the code, and the lengths of lists, as they are now."""
        own = [value for attributes, _ in self._attributes for value in attributes.values()]
        plain = [_plain(value) for value in (*own, *attributes_of(self._network))]
        return [*plain, *hidden_values(self._network)]

    def restore(self) -> None:
        """Puts back what has changed since."""
        import torch

        for attributes, held in self._attributes:
            _put_back(attributes, held)
        for module, buffers in self._buffers:
            for name, buffer in buffers.items():
                setattr(module, name, buffer)
        for tensor, held in self._tensors:
            if not torch.equal(tensor, held):
                tensor.copy_(held)


def _copied(attributes: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (one, one.copy() if type(one) in _CONTAINERS else None) for name, one in attributes.items()}


def _put_back(attributes: dict[str, Any], held: dict[str, tuple[Any, Any]]) -> None:
    for name in [name for name in attributes if name not in held]:
        del attributes[name]
    for name, (value, copied) in held.items():
        attributes[name] = value
        if isinstance(copied, list):
            value[:] = copied
        elif copied is not None:
            value.clear()
            value.update(copied)


def _differ(attributes: dict[str, Any], held: dict[str, tuple[Any, Any]]) -> bool:
    if attributes.keys() != held.keys():
        return True
    return any(
        attributes[name] is not value or (copied is not None and _items(value) != _items(copied))
        for name, (value, copied) in held.items()
    )


def _items(container: Any) -> list[Any]:
    if isinstance(container, dict):
        return [(name, id(value)) for name, value in container.items()]
    return [id(value) for value in container]


def _plain(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        return _plain([*value.keys(), *value.values()])
    return [_plain(one) for one in value] if isinstance(value, list | tuple | set) else None


def _is_script(module: Any) -> bool:
    import torch

    return isinstance(module, torch.jit.ScriptModule)
