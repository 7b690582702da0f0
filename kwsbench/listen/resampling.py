"""A stream at another rate: what `kwsbench.dataset.audio` makes of a whole file, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import gcd

import numpy as np
from numpy.typing import NDArray

_HALF_FILTER = 10
"""SciPy's filter reaches as far to either side, in samples of the lower of the two rates."""


def resampled(blocks: Iterable[NDArray[np.float32]], from_hz: int, to_hz: int) -> Iterator[NDArray[np.float32]]:
    """Resamples a stream with `scipy.signal.resample_poly`; joined, the result is that of the joined blocks.

    The result lags behind by the reach of the filter, ten samples of the lower rate, and is cut where both rates have
    a sample at the same time: with rates that have no common divisor, once a second.

    Args:
        blocks: The stream, shapes (samples,).
        from_hz: Its rate.
        to_hz: The rate to give it.

    Yields:
        The stream at that rate, shapes (samples,).
    """
    if from_hz == to_hz:
        yield from blocks
        return
    from scipy.signal import resample_poly

    up, down = to_hz // gcd(from_hz, to_hz), from_hz // gcd(from_hz, to_hz)
    margin = down * -(-_HALF_FILTER * max(up, down) // (up * down))
    held, done = np.zeros(0, np.float32), 0  # of what is held, so much is there only for the filter to look back
    for block in blocks:
        held = np.concatenate([held, block])
        ready = (len(held) - margin) // down * down
        if ready <= done:
            continue
        yield resample_poly(held[: ready + margin], up, down)[done // down * up : ready // down * up]
        behind = max(0, ready - margin)
        held, done = held[behind:], ready - behind
    if len(held) > done:
        yield resample_poly(held, up, down)[done // down * up :]
