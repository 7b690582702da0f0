"""The speakers whose clips an entry gets wrong most often."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kwsbench.leaderboard.board import SpeakerErrors
from kwsbench.predictions import Truth

MOST_SHOWN = 10


class Speakers:
    """The speakers of the clips of a truth, to count errors by.

    Args:
        truth: The clips; those without a speaker count for none.
    """

    def __init__(self, truth: Truth) -> None:
        self._truth = truth.truth
        self._names = truth.speakers.filter(truth.speakers != "").unique().sort().to_list()
        codes = truth.speakers.cast(pl.Enum(self._names), strict=False).to_physical()
        self._codes = codes.cast(pl.Int64).fill_null(len(self._names)).to_numpy()
        self._sizes = np.bincount(self._codes, minlength=len(self._names) + 1)

    def worst(self, predicted: NDArray[np.integer]) -> tuple[SpeakerErrors, ...]:
        """Returns the speakers with the highest share of errors, the one with more clips first among equals.

        Args:
            predicted: Codes of the predicted labels, shape (clips,).
        """
        errors = np.bincount(self._codes[predicted != self._truth], minlength=len(self._names) + 1)
        sizes, errors = self._sizes[:-1], errors[:-1]
        order = np.lexsort((np.arange(len(sizes)), -sizes, -errors / np.maximum(sizes, 1)))[:MOST_SHOWN]
        found = (SpeakerErrors(self._names[place], int(sizes[place]), int(errors[place])) for place in order.tolist())
        return tuple(row for row in found if row.num_errors)
