"""Losses, whatever the network's last layer gives."""

from __future__ import annotations

import pytest
import torch

from kwsbench.recipe import Recipe
from kwsbench.train.losses import loss_of

SCORES = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
CODES = torch.tensor([0, 1, 2, 3, 0, 1])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_log_probabilities_give_the_loss_of_the_scores_that_they_are_of(smoothing: float) -> None:
    """Negative log-likelihood of a log-softmax is torch's cross-entropy, with and without label smoothing."""
    recipe = Recipe(epochs=1, label_smoothing=smoothing)
    logarithms = Recipe(epochs=1, label_smoothing=smoothing, outputs_log_probabilities=True)
    expected = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)(SCORES, CODES)
    assert loss_of(SCORES, CODES, recipe) == expected
    torch.testing.assert_close(loss_of(SCORES.log_softmax(1), CODES, logarithms), expected)


def test_log_probabilities_are_taken_as_they_are() -> None:
    """What a network calls log-probabilities is not normalised again."""
    shifted = SCORES.log_softmax(1) + 1
    loss = loss_of(shifted, CODES, Recipe(epochs=1, outputs_log_probabilities=True))
    torch.testing.assert_close(loss, loss_of(SCORES, CODES, Recipe(epochs=1)) - 1)
