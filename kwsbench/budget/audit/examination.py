"""One audit on its way: the network, its inputs, the runs that were watched, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from kwsbench.budget.audit.running import Subject
from kwsbench.budget.audit.trace import Run, Telling


@dataclass
class Examination:
    """The state of one audit.

    Attributes:
        subject: The network.
        probes: Inputs by what they are.
        findings: Sentences, and whether they block.
        runs: One run on each probe that it did not fail on.
        more_runs: Runs that are no first run on a probe: again, told otherwise, or on another shape.
        keeps_state: A run changes what the next one starts from.
    """

    subject: Subject
    probes: Mapping[str, NDArray[Any]]
    findings: dict[str, bool] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    more_runs: list[Run] = field(default_factory=list)
    keeps_state: bool = False

    @property
    def runs_on_probes(self) -> list[Run]:
        """All runs on inputs of the shape that is counted."""
        return [*self.runs.values(), *(run for run in self.more_runs if run.probe in self.runs)]

    @property
    def dearest_on_probes(self) -> Run:
        """The first run on a probe that costs most, as it is without being told anything."""
        return max(self.runs.values(), key=lambda run: run.macs)

    def find(self, message: str, *, blocks: bool = False) -> None:
        """Notes a finding; one that blocks once blocks."""
        self.findings[message] = self.findings.get(message, False) or blocks

    def told(self, name: str, telling: Telling) -> Run | None:
        """Runs on a probe and tells Python something else than what is there; None where it fails."""
        return attempt(lambda: self.subject.watch(name, self.probes[name], telling=telling))


def attempt(watch: Callable[[], Run]) -> Run | None:
    """Returns a run, or None where the network fails."""
    try:
        return watch()
    except Exception:  # noqa: BLE001 - a network may raise anything, and need not take everything
        return None
