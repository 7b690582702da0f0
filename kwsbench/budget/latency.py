"""How long one input takes on this processor."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_WARM_UPS = 3
_FEWEST, _MOST = 3, 1_000


def median_latency_ms(run: Callable[[], object], budget_s: float = 0.1) -> float:
    """Measures how long a call takes: the median, one thread, after warming up.

    Args:
        run: What is measured.
        budget_s: How long to measure; at least three calls are made, at most a thousand.

    Returns:
        Milliseconds.
    """
    with _one_thread():
        for _ in range(_WARM_UPS):
            run()
        return statistics.median(_durations_ms(run, budget_s))


def _durations_ms(run: Callable[[], object], budget_s: float) -> Iterator[float]:
    end = time.perf_counter() + budget_s
    for number in range(_MOST):
        start = time.perf_counter()
        if number >= _FEWEST and start >= end:
            return
        run()
        yield 1_000 * (time.perf_counter() - start)


@contextmanager
def _one_thread() -> Iterator[None]:
    torch = sys.modules.get("torch")  # what does not use it need not load it
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
