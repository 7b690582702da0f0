"""Which clips make a batch, and the seeds of what is random in it: functions of the run's seed and of nothing else.

A run that is killed and goes on therefore draws what it would have drawn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
_Part = TypeVar("_Part")
_Made = TypeVar("_Made")

_LEAST_AHEAD = 4
_ORDER, _DRAWS = 0, 1  # so that the order of clips and what is drawn for them have nothing in common


def batches_of_epoch(num_clips: int, batch_size: int, seed: int, epoch: int) -> list[Indices]:
    """Returns the clips of each batch of an epoch, in an order of its own; what does not fill a batch is left out.

    Args:
        num_clips: Clips of the split.
        batch_size: Clips of a batch.
        seed: Seed of the run.
        epoch: Number of the epoch.
    """
    order = np.random.default_rng((_ORDER, seed, epoch)).permutation(num_clips).astype(np.int64, copy=False)
    whole = num_clips // batch_size * batch_size
    return list(order[:whole].reshape(-1, batch_size))


def seeds_of_batch(seed: int, epoch: int, batch: int, rank: int = 0) -> tuple[int, int]:
    """Returns the seeds of torch's own generator and of the augmentation's, for one batch on one processor."""
    first, second = np.random.SeedSequence((_DRAWS, seed, epoch, batch, rank)).generate_state(2, np.uint64)
    return int(first >> np.uint64(1)), int(second >> np.uint64(1))


def made_ahead(make: Callable[[_Part], _Made], parts: Sequence[_Part], num_threads: int = 1) -> Iterator[_Made]:
    """Yields `make(part)` for each part, in order; the next ones are made in threads while the caller works.

    A caller that would have to wait makes parts itself, which nobody has begun yet.

    Args:
        make: What to do with a part; it should spend its time outside of Python's lock.
        parts: The parts.
        num_threads: How many are made at a time beside the caller; twice as many are made ahead of it, at least four.
    """
    with ThreadPoolExecutor(num_threads) as pool:
        ahead = max(_LEAST_AHEAD, 2 * num_threads)
        pending = deque((part, pool.submit(make, part)) for part in parts[:ahead])
        try:
            for part in parts[ahead:]:
                made = _next(make, pending)
                pending.append((part, pool.submit(make, part)))
                yield made
            while pending:
                yield _next(make, pending)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _next(make: Callable[[_Part], _Made], pending: deque[tuple[_Part, Future[_Made]]]) -> _Made:
    """Takes the first of what is pending, and makes others while it is not there."""
    for place, (part, future) in enumerate(pending):
        if pending[0][1].done():
            break
        if future.cancel():
            pending[place] = (part, _made_here(make, part))
    return pending.popleft()[1].result()


def _made_here(make: Callable[[_Part], _Made], part: _Part) -> Future[_Made]:
    future: Future[_Made] = Future()
    try:
        future.set_result(make(part))
    except Exception as error:  # noqa: BLE001 - it is raised when it is this part's turn
        future.set_exception(error)
    return future
