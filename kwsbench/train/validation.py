"""The validation split, heard and scored as `kwsbench predict` and `kwsbench score` hear and score it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kwsbench.errors import InputError
from kwsbench.metrics.confusion import Confusion, confusion_matrix

_CLIPS_PER_BATCH = 256


@dataclass(frozen=True)
class Validated:
    """How a network does on the validation split.

    Attributes:
        loss: Mean cross-entropy in nats.
        accuracy: Share of clips with the right label.
        balanced_accuracy: Mean recall over the labels.
    """

    loss: float
    accuracy: float
    balanced_accuracy: float


@dataclass(frozen=True, eq=False)
class ValidationSplit:
    """Features and labels of the validation split.

    Attributes:
        features: Those of the scorer, shape (clips, coefficients, frames).
        codes: Label codes, shape (clips,).
        num_labels: How many labels there are.
        num_keywords: How many of them are keywords; they come first.
    """

    features: NDArray[np.float32]
    codes: NDArray[np.int64]
    num_labels: int
    num_keywords: int

    def of(self, network: Any, device: Any) -> Validated:
        """Returns how a network in evaluation mode does, in 32 bits. Raises InputError where scores are not finite."""
        scores = self._scores(network, device)
        if not np.isfinite(scores).all():
            raise InputError("the network gives scores for the validation split that are not finite numbers")
        shifted = scores - scores.max(axis=1, keepdims=True)
        logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = -logarithms[np.arange(len(self.codes)), self.codes].mean()
        counts = confusion_matrix(self.codes, scores.argmax(axis=1), self.num_labels)
        confusion = Confusion(counts, self.num_keywords)
        return Validated(float(loss), float(confusion.accuracy), float(confusion.balanced_accuracy))

    def _scores(self, network: Any, device: Any) -> NDArray[np.float64]:
        starts = range(0, len(self.features), _CLIPS_PER_BATCH)
        with torch.no_grad():
            parts = [
                network(torch.from_numpy(self.features[start : start + _CLIPS_PER_BATCH]).to(device))
                .float()
                .cpu()
                .numpy()
                for start in starts
            ]
        return np.concatenate(parts).astype(np.float64)
