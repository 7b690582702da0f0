"""One run under watch as it is being recorded: what is written, and whom to ask while it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kwsbench.budget.audit.lineage import Lineage, Record, parts_of
from kwsbench.budget.audit.places import Stack
from kwsbench.budget.audit.quantisers import Quantisers
from kwsbench.budget.audit.trace import TRUTH, Run, Telling


@dataclass(frozen=True)
class Recording:
    """A run that is being recorded.

    Attributes:
        run: Where it is recorded.
        lineage: The storages that were seen so far.
        stack: Finds out who calls.
        quantisers: The modules that quantise activations.
        telling: What Python is told in place of what is there.
    """

    run: Run
    lineage: Lineage
    stack: Stack
    quantisers: Quantisers
    telling: Telling = TRUTH

    def record_of(self, tensor: Any) -> Record:
        """Returns the history of a tensor that an operator is given; where it is new, it is noted as stored."""
        seen = len(self.lineage.newly_read)
        record = self.lineage.record_of(tensor)
        for root, digest in self.lineage.newly_read[seen:]:
            if root.place is None:
                root.place = self.stack.place()
            self.run.stored.append((len(self.run.calls), root, digest))
        return record

    def parts_of(self, tensor: Any) -> list[Any]:
        """Returns the dense tensors that a tensor consists of; that there are none is a problem of the run."""
        parts = parts_of(tensor)
        if not parts:
            kind = f"{tensor.layout}".removeprefix("torch.")
            self.problem(f"a tensor on {tensor.device} in {kind} form, which the audit cannot look into")
        return parts

    def problem(self, message: str) -> None:
        """Notes what makes the counts unreliable."""
        self.run.problems[message] = None

    def was_told(self, value: Any) -> bool:
        """Whether a number is one that Python was told of the input, and not one that any formula may have."""
        return isinstance(value, float) and not (value * 2).is_integer() and value in self.run.decisions
