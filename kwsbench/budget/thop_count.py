"""What thop counts, the counter that teams know: https://github.com/Lyken17/pytorch-OpCounter (MIT), version 0.1.1.

It stands beside the audit for comparison and decides nothing where it counts less. It hooks into modules of the types
that it knows, and silently counts 0 for everything else:

- what `forward` does by itself: `torch.nn.functional`, `x @ w`, einsum, `*`, a Fourier transform;
- modules of other types, with their parameters: attention, embeddings, group norm, GELU, quantised layers, and
  subclasses of the types it knows, such as a `Linear` with a mask; LeakyReLU and ReLU in any case;
- parameters that the network itself holds, outside of such a module, and parameters where the network is one layer;
- weights in buffers and plain attributes;
- exported networks, of which it sees no layers. (It fails on scripted ones.)

It counts too much for a transposed convolution, and in its own way for norms (4 per element), softmax (3), adaptive
pooling (its additions too) and recurrent layers (their additions too).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.budget.audit.surroundings import swallowed_output
from kwsbench.budget.report import Count, ThopCount

OWN_NAMES = ("total_ops", "total_params")
"""Names of the buffers that thop adds to every module."""

MAX_REASON = 200
"""Characters of an exception's message that a reason quotes."""


def count_with_thop(network: Any, probe: NDArray[Any]) -> ThopCount:
    """Counts a network with thop: a copy of it, in evaluation mode, on one input.

    Args:
        network: A `torch.nn.Module`; it stays as it is.
        probe: Inputs, batch first; the first of them is used.

    Returns:
        The parameters and MACs of the whole network and of every layer that has no layers inside (`blocks.0.conv`; an
        empty name for a network that is one layer), or the reason why thop cannot count it.
    """
    reason = _why_not(network, probe)
    return ThopCount(count=None, reason=reason) if reason else _count(network, probe)


def _why_not(network: Any, probe: NDArray[Any]) -> str:
    """Returns why thop should not even be tried, or nothing."""
    if _is_installed("ultralytics-thop"):
        return "the module thop comes from ultralytics-thop, which is AGPL-3.0 and counts differently: uninstall it"
    if not _is_installed("thop"):
        return "thop is not installed: pip install 'kwsbench[torch]'"
    if probe.dtype.kind not in "biufc":
        return f"thop is given numbers only, not inputs of type {probe.dtype}"
    return _why_not_modules(network)


def _why_not_modules(network: Any) -> str:
    import torch

    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            return f"thop cannot look into a ScriptModule ({name or 'the network itself'})"
        if taken := [own for own in OWN_NAMES if hasattr(module, own)]:
            return f"{name or 'the network itself'} has a {taken[0]} of its own, which is where thop keeps its count"
    return ""


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def _count(network: Any, probe: NDArray[Any]) -> ThopCount:
    import torch

    try:
        with swallowed_output(), _root_logger_kept(), torch.random.fork_rng(devices=[]):
            return _profile(copy.deepcopy(network), probe)
    except Exception as error:  # noqa: BLE001 - whatever a network or thop raises is a reason
        return ThopCount(count=None, reason=f"thop failed: {type(error).__name__}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:MAX_REASON]


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Takes away the handler that the first `logging.warning` of a process installs."""
    handlers = list(logging.root.handlers)
    try:
        yield
    finally:
        logging.root.handlers[:] = handlers


def _profile(network: Any, probe: NDArray[Any]) -> ThopCount:
    import torch
    from thop import profile

    example = torch.from_numpy(np.array(probe[:1]))
    macs, params, layers = profile(network.eval(), (example,), verbose=False, ret_layer_info=True)
    by_module = dict(_leaves(layers)) or {"": (_exact(params), _exact(macs))}
    return ThopCount(count=Count(params=_exact(params), macs=_exact(macs)), by_module=by_module)


def _leaves(layers: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, tuple[int, int]]]:
    for name, (macs, params, inner) in layers.items():
        if inner:
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", (_exact(params), _exact(macs))


def _exact(count: float) -> int:
    """Returns a count of thop, which it keeps in floats, as the integer that it is."""
    if not float(count).is_integer():
        raise ValueError(f"{count} is no count")
    return int(count)
