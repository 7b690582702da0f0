"""What a network keeps from one run to the next, and how to put it back."""

from __future__ import annotations

from typing import Any

from kwsbench.budget.audit.stored_names import Stored

_CONTAINERS = (dict, list, set)


class State:
    """The state of a network at one time: its tensors, attributes and lists as they are now.

    Args:
        network: A module.
        stored: The tensors that belong to it.
    """

    def __init__(self, network: Any, stored: list[Stored]) -> None:
        modules = list(network.modules())
        self._tensors = [(one.tensor, one.tensor.clone()) for one in stored]
        self._attributes = [(vars(module), _copied(vars(module))) for module in modules if not _is_script(module)]
        self._buffers = [
            (module, dict(module.named_buffers(recurse=False))) for module in modules if _is_script(module)
        ]

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


def _is_script(module: Any) -> bool:
    import torch

    return isinstance(module, torch.jit.ScriptModule)
