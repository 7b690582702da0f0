"""What training makes small."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kwsbench.recipe import Recipe


def loss_of(scores: Tensor, codes: Tensor, recipe: Recipe) -> Tensor:
    """Returns the mean loss of a batch: cross-entropy, or negative log-likelihood of what are log-probabilities.

    Label smoothing spreads its share of the target evenly over all labels (Szegedy et al., "Rethinking the Inception
    Architecture for Computer Vision", CVPR 2016, section 7).

    Args:
        scores: Shape (clips, labels).
        codes: Label codes, shape (clips,).
        recipe: Says what the scores are, and how much is smoothed.
    """
    if not recipe.outputs_log_probabilities:
        return functional.cross_entropy(scores, codes, label_smoothing=recipe.label_smoothing)
    loss = functional.nll_loss(scores, codes)
    if not recipe.label_smoothing:
        return loss
    return torch.lerp(loss, -scores.mean(), recipe.label_smoothing)
