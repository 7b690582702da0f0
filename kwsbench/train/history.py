"""What each epoch brought, which was the best, and when there is nothing more to train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kwsbench.recipe import Recipe


@dataclass(frozen=True)
class EpochRecord:
    """What an epoch brought.

    Attributes:
        epoch: Its number, from 1.
        learning_rate: That of its last batch.
        training_loss: Mean over the clips that it trained on, as augmented, with label smoothing and teachers.
        training_accuracy: Share of them with the right label, while the weights changed.
        validation_loss: Mean cross-entropy of the validation split in nats, without label smoothing.
        validation_accuracy: Share of the validation split with the right label.
        validation_balanced_accuracy: Mean recall over the labels.
        seconds: What it took, validation included.
    """

    epoch: int
    learning_rate: float
    training_loss: float
    training_accuracy: float
    validation_loss: float
    validation_accuracy: float
    validation_balanced_accuracy: float
    seconds: float


def best_of(history: Sequence[EpochRecord]) -> EpochRecord:
    """Returns the epoch with the highest validation accuracy; of equal ones the latest, which has learnt most."""
    return max(history, key=lambda record: (record.validation_accuracy, record.epoch))


def is_finished(history: Sequence[EpochRecord], recipe: Recipe) -> bool:
    """Returns whether all epochs of the recipe are done, or the validation accuracy has not risen for too long."""
    if not history or len(history) >= recipe.epochs:
        return bool(history)
    best = best_of(history).validation_accuracy
    risen = next(record.epoch for record in history if record.validation_accuracy == best)
    return 0 < recipe.patience_epochs <= len(history) - risen
