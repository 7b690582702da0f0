"""What the tests of PyTorch's operators share: executing something, and what its operators multiply."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kwsbench.budget.aten_costs import macs_of


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the MACs of what is executed, by operator."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by_operator: dict[str, int | None] = {}

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        outputs = func(*args, **kwargs)
        macs, name = macs_of(func._schema.name, args, kwargs, outputs), func._schema.name
        before = self.by_operator.get(name, 0)
        self.by_operator[name] = None if macs is None or before is None else before + macs
        return outputs

    @property
    def macs(self) -> int | None:
        """All together; None where an operator has no formula."""
        counts = list(self.by_operator.values())
        return None if None in counts else sum(count for count in counts if count is not None)


def counted(run: Callable[..., Any], *args: Any, whole: bool = False, **kwargs: Any) -> Counting:
    """Executes `run` and counts; composite operators are taken apart, or come as a `whole`, as in inference mode."""
    counting = Counting()
    with torch.inference_mode() if whole else torch.no_grad(), counting:
        run(*args, **kwargs)
    return counting


@contextmanager
def mkldnn(*, enabled: bool) -> Iterator[None]:
    """Switches mkldnn; putting the switches back warns of what other devices lack."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=enabled):
            yield


def real(*shape: int) -> torch.Tensor:
    """Returns real numbers; they do not matter."""
    return torch.full(shape, 0.5)


def cplx(*shape: int) -> torch.Tensor:
    """Returns complex numbers."""
    return torch.full(shape, 0.5 + 0.5j)
