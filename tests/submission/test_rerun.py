"""Handed-in predictions beside the model's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from kwsbench.predictions import Predictions
from kwsbench.submission.rerun import SCORE_TOLERANCE, compare

SCORES = np.array([[0.7, 0.2, 0.1], [0.4, 0.3996, 0.2004], [0.1, 0.3, 0.6]])


def _predictions(predicted: list[int], scores: np.ndarray | None = None) -> Predictions:
    columns = None if scores is None else tuple(scores.T.copy())
    return Predictions(np.array(predicted, np.int32), columns)


def test_the_models_own_predictions_agree() -> None:
    """Equal labels and scores differ nowhere, and by nothing."""
    comparison = compare(_predictions([0, 0, 2], SCORES), SCORES)
    assert not comparison.differs.any()
    assert comparison.largest_score_difference == 0


def test_another_label_differs() -> None:
    """A label that the model does not give is a mismatch, with or without scores."""
    assert compare(_predictions([1, 0, 2]), SCORES).differs.tolist() == [True, False, False]
    assert compare(_predictions([1, 0, 2]), SCORES).largest_score_difference is None
    assert compare(_predictions([1, 0, 2], SCORES), SCORES).differs.tolist() == [True, False, False]


def test_either_label_of_a_tie_agrees() -> None:
    """Where the two best scores are within the tolerance, rounding decides, and both labels agree."""
    assert not compare(_predictions([0, 1, 2]), SCORES).differs.any()
    assert compare(_predictions([0, 2, 2]), SCORES).differs.tolist() == [False, True, False]


@pytest.mark.parametrize(("by", "differs"), [(0.5, False), (2.0, True)])
def test_scores_may_differ_within_the_tolerance(by: float, differs: bool) -> None:  # noqa: FBT001
    """Half the tolerance is rounding, twice the tolerance is another model."""
    changed = SCORES.copy()
    changed[2, 0] += by * SCORE_TOLERANCE
    comparison = compare(_predictions([0, 0, 2], changed), SCORES)
    assert comparison.differs.tolist() == [False, False, differs]
    assert comparison.largest_score_difference == pytest.approx(by * SCORE_TOLERANCE)


@given(nps.arrays(np.float64, (7, 4), elements=st.floats(0, 1)), nps.arrays(np.int32, 7, elements=st.integers(0, 3)))
def test_clips_are_compared_one_by_one(scores: np.ndarray, predicted: np.ndarray) -> None:
    """Whether a clip differs is a matter of its own row alone, as a slow comparison says."""
    expected = [bool(row[code] < row.max() - SCORE_TOLERANCE) for row, code in zip(scores, predicted, strict=True)]
    assert compare(Predictions(predicted, None), scores).differs.tolist() == expected
