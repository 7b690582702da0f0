"""Which epoch is the best, and when training ends."""

from __future__ import annotations

from kwsbench.recipe import Recipe
from kwsbench.train.history import EpochRecord, best_of, is_finished


def _history(*accuracies: float) -> list[EpochRecord]:
    return [
        EpochRecord(number, 0.1, 1.0, 0.5, 1.0, accuracy, accuracy, 1.0)
        for number, accuracy in enumerate(accuracies, 1)
    ]


def test_the_best_epoch_has_the_highest_accuracy_and_is_the_latest_of_these() -> None:
    """Of equal accuracies the later epoch is the best."""
    assert best_of(_history(0.5, 0.9, 0.7)).epoch == 2
    assert best_of(_history(0.5, 0.9, 0.9, 0.7)).epoch == 3


def test_without_patience_the_length_is_fixed() -> None:
    """A run ends after the epochs of its recipe, and not before it began."""
    recipe = Recipe(epochs=3)
    assert [is_finished(_history(*[0.5] * done), recipe) for done in range(5)] == [False, False, False, True, True]


def test_with_patience_it_ends_when_the_accuracy_has_not_risen() -> None:
    """Two epochs without a rise end it; an equal accuracy is no rise, and a later rise begins the count again."""
    recipe = Recipe(epochs=9, patience_epochs=2)
    assert not is_finished(_history(0.5, 0.5), recipe)
    assert is_finished(_history(0.5, 0.5, 0.5), recipe)
    assert not is_finished(_history(0.5, 0.4, 0.6), recipe)
    assert not is_finished(_history(0.5, 0.4, 0.6, 0.6), recipe)
    assert is_finished(_history(0.5, 0.4, 0.6, 0.6, 0.5), recipe)
