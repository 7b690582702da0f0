"""Counts a torch network in every way there is: the audit, thop, and the clock; here or in the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.budget.latency import median_latency_ms
from kwsbench.budget.report import Audit, Record, ThopCount
from kwsbench.budget.thop_count import count_with_thop
from kwsbench.extras import import_torch
from kwsbench.runtime.networks import NetworkSource, network_of, request_of, source_of
from kwsbench.sandbox import Limits, call

_LIMITS = Limits(cpu_s=20, wall_s=90)  # what fits a device takes milliseconds for one input

Probes = Mapping[str, NDArray[np.float32]]
"""Inputs by what they are, each of the shape of one input, batch first."""


class NetworkCount(Record):
    """What was counted for the whole input.

    Attributes:
        audit: By executing it.
        thop: By thop.
        latency_ms: Median time for one input, one thread; None where it did not run.
    """

    audit: Audit
    thop: ThopCount
    latency_ms: float | None


def count_in_sandbox(source: NetworkSource, probes: Probes) -> NetworkCount:
    """Counts the network of a stranger, which is made and run in the sandbox only.

    Raises:
        RefusedError: It needs a sandbox and there is none, or it broke the limits there.
        InputError: It cannot be made, or fails on every probe.
    """
    request, files = request_of(source)
    task = "kwsbench.budget.network_count:count_task"
    reply = call(task, request, dict(probes), files, what=str(source.model.path), limits=_LIMITS)
    return NetworkCount.from_sandbox(reply.record, str(source.model.path))


def count_task(
    request: dict[str, Any], arrays: dict[str, NDArray[Any]], files: Mapping[str, Path]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The task of the sandbox: makes the network there, and counts it."""
    counted = count_network(network_of(source_of(request, files)), arrays)
    return counted.model_dump(mode="json"), {}


def count_network(network: Any, probes: Probes) -> NetworkCount:
    """Counts a network that is already there."""
    from kwsbench.budget.audit import audit_network

    audit = audit_network(network, probes)
    first = next(iter(probes.values()))
    return NetworkCount(audit=audit, thop=count_with_thop(network, first), latency_ms=_latency_ms(network, first))


def _latency_ms(network: Any, probe: NDArray[np.float32]) -> float | None:
    torch = import_torch()
    example = torch.from_numpy(probe)
    with torch.inference_mode():
        return median_latency_ms(lambda: network(example))
