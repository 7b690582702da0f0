"""Which ways a network may take, other than those that the probes took: its decisions are turned round, one by one.

A network that decides on its input can do so in a way that no probe meets. Where it decides on a truth value, the other
way is found by telling it the opposite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kwsbench.budget.audit.trace import Run

MOST_WAYS = 32
"""Ways that are tried; a network that has more cannot be certified."""


def other_ways(first: Run, retold: Callable[[Sequence[Any]], Run | None]) -> tuple[list[Run], bool]:
    """Runs a network on every way that it can take.

    Args:
        first: A run.
        retold: Runs on the same input and tells the network what it is given in place of what is there; None where it
            fails.

    Returns:
        The runs, and whether they are all.
    """
    runs: list[Run] = []
    waiting: list[tuple[list[Any], int]] = [(first.decisions, 0)]
    tried = 0
    while waiting:
        decisions, settled = waiting.pop()
        for position in range(settled, len(decisions)):
            if not isinstance(decisions[position], bool):
                continue
            tried += 1
            if tried > MOST_WAYS:
                return runs, False
            run = retold([*decisions[:position], not decisions[position]])
            if run is not None:
                runs.append(run)
                waiting.append((run.decisions, position + 1))
    return runs, True


def is_number(decision: Any) -> bool:
    """Whether Python was told a number, on which it can decide in more ways than can be tried."""
    return not isinstance(decision, bool | tuple)
