"""Integer codes of labels and clusters: checked once, where they come in."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def checked_codes(codes: ArrayLike, size: int, name: str) -> NDArray[np.int64]:
    """Returns codes as a vector of int64, once each of them is known to lie in 0 to `size - 1`.

    A code outside would silently count in some other cell of a table.

    Args:
        codes: One integer per clip, shape (N,).
        size: How many codes there are.
        name: What the codes stand for, for the error message.

    Returns:
        The codes, shape (N,).

    Raises:
        ValueError: The codes are no vector, no integers, or out of range.

    >>> checked_codes([2, 0, 1], 3, "truth").tolist()
    [2, 0, 1]
    """
    array = np.asarray(codes)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one code per clip, found shape {array.shape}")
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected integer codes, found {array.dtype}")
    lowest, highest = int(array.min()), int(array.max())
    if lowest < 0 or highest >= size:
        raise ValueError(f"{name}: expected codes in 0 to {size - 1}, found {lowest} to {highest}")
    return array.astype(np.int64, copy=False)


def check_equal_length(**arrays: NDArray[np.generic]) -> None:
    """Checks that there is one entry per clip in each array.

    Args:
        **arrays: Arrays by the name that the error message gives them.

    Raises:
        ValueError: Their lengths differ.

    >>> check_equal_length(truth=np.zeros(3), predicted=np.zeros(2))
    Traceback (most recent call last):
    ...
    ValueError: expected arrays of equal length, found truth 3, predicted 2
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"expected arrays of equal length, found {found}")
