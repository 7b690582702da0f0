"""Where values of the input leave PyTorch.

This module needs PyTorch to define its class; only functions that already use PyTorch import it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch.overrides import TorchFunctionMode

from kwsbench.budget.audit.lineage import parts_of
from kwsbench.budget.audit.operators import tensors_in
from kwsbench.budget.audit.recording import Recording

_WAYS_OUT = frozenset(
    {
        "__array__",
        "__repr__",
        "__dlpack__",
        "__reduce_ex__",
        "_typed_storage",
        "apply_",
        "data_ptr",
        "map2_",
        "map_",
        "numpy",
        "storage",
        "tolist",
        "untyped_storage",
    }
)


class Leaks(TorchFunctionMode):
    """Notes where values that depend on the input leave PyTorch: NumPy, lists, bare memory.

    Args:
        recording: Where to note it.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Calls a function of PyTorch's Python side and looks at its name."""
        del types
        name = getattr(func, "__name__", "")
        if name in _WAYS_OUT and any(map(self._depends, tensors_in(args))):
            self.recording.problem(f"values of the input leave PyTorch through {name}(), where nothing is counted")
        return func(*args, **(kwargs or {}))

    def _depends(self, tensor: Any) -> bool:
        records = [self.recording.lineage.known(part) for part in parts_of(tensor)]
        return any(record is not None and record.depends for record in records)
