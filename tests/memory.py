"""How much memory a piece of code takes at its peak, as Python allocates it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def takes_at_most(num_bytes: float) -> Iterator[None]:
    """Fails where the block allocates more than `num_bytes` at any time."""
    tracemalloc.start()
    try:
        yield
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes <= num_bytes, f"{peak_bytes:,} bytes"
