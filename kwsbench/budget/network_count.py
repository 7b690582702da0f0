"""Counts a torch network in every way there is: the audit, thop, and the clock; here or in the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.budget.audit import audit_network
from kwsbench.budget.latency import median_latency_ms
from kwsbench.budget.report import Audit, Record, ThopCount
from kwsbench.budget.thop_count import count_with_thop
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


def count(source: NetworkSource, probes: Probes) -> NetworkCount:
    """Counts a network: kwsbench's own here, a stranger's in the sandbox.

    Raises:
        RefusedError: It needs a sandbox and there is none, or it broke the limits there.
        InputError: It cannot be made, or fails on every probe.
    """
    if not source.needs_sandbox:
        return count_network(network_of(source), probes)
    request, files = request_of(source)
    task = "kwsbench.budget.network_count:count_in_sandbox"
    reply = call(task, request, dict(probes), files, what=str(source.model.path), limits=_LIMITS)
    return NetworkCount.model_validate(reply.record)


def count_in_sandbox(
    request: dict[str, Any], arrays: dict[str, NDArray[Any]], files: Mapping[str, Path]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The task of the sandbox: makes the network there, and counts it."""
    counted = count_network(network_of(source_of(request, files)), arrays)
    return counted.model_dump(mode="json"), {}


def count_network(network: Any, probes: Probes) -> NetworkCount:
    """Counts a network that is already there."""
    audit = audit_network(network, probes)
    first = next(iter(probes.values()))
    return NetworkCount(audit=audit, thop=count_with_thop(network, first), latency_ms=_latency_ms(network, first))


def _latency_ms(network: Any, probe: NDArray[np.float32]) -> float | None:
    import torch

    example = torch.from_numpy(probe)
    with torch.inference_mode():
        return median_latency_ms(lambda: network(example))
