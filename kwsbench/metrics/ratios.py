"""Ratios and means that know when they are undefined: NaN, never 0, and never a warning."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """Divides, with NaN where the denominator is 0.

    Args:
        numerator: Counts or sums, of any shape.
        denominator: Counts or sums that broadcast against the numerator.

    Returns:
        The quotients, in the broadcast shape.

    >>> ratio([3, 0, 0], [4, 2, 0]).tolist()
    [0.75, 0.0, nan]
    """
    above, below = np.broadcast_arrays(numerator, denominator)
    quotient = np.full(above.shape, np.nan)
    np.divide(above, below, out=quotient, where=below != 0)
    return quotient


def mean_where_defined(values: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Averages along one axis over the values that are not NaN; NaN where there is none.

    Args:
        values: Rates with NaN where they are undefined, of any shape.
        axis: The axis to average over (keywords, labels).

    Returns:
        The means, in the shape of `values` without `axis`.

    >>> mean_where_defined([[0.5, np.nan, 1.0], [np.nan, np.nan, np.nan]]).tolist()
    [0.75, nan]
    """
    rates = np.asarray(values, dtype=np.float64)
    defined = ~np.isnan(rates)
    return ratio(np.sum(rates, axis=axis, where=defined), np.count_nonzero(defined, axis=axis))
