"""What training makes small."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from kwsbench.recipe import Distillation, Recipe


def loss_of(scores: Tensor, codes: Tensor, recipe: Recipe, soft_targets: Tensor | None = None) -> Tensor:
    """Returns the mean loss of a batch: that of the labels, weighted against that of teachers where there are some.

    The loss of the labels is the cross-entropy, or the negative log-likelihood of what are log-probabilities. Label
    smoothing spreads its share of the target evenly over all labels (Szegedy et al., "Rethinking the Inception
    Architecture for Computer Vision", CVPR 2016, section 7). For teachers see `Distillation`.

    Args:
        scores: Shape (clips, labels).
        codes: Label codes, shape (clips,).
        recipe: Says what the scores are, how much is smoothed, and how teachers are weighted.
        soft_targets: Probabilities of teachers at the temperature of the recipe, shape (clips, labels); None for none.
    """
    loss = _loss_of_labels(scores, codes, recipe)
    if soft_targets is None or recipe.distillation is None or not recipe.distillation.weight:
        return loss
    return _distilled(loss, scores, soft_targets, recipe.distillation)


def soft_targets(scores: Sequence[Tensor], temperature: float) -> Tensor:
    """Returns the mean of the probabilities that teachers give, shape (clips, labels).

    Args:
        scores: Those of each teacher for the same clips, shape (clips, labels), log-probabilities or not.
        temperature: What they are divided by before the softmax.
    """
    return torch.stack([(one / temperature).softmax(dim=1) for one in scores]).mean(dim=0)


def _loss_of_labels(scores: Tensor, codes: Tensor, recipe: Recipe) -> Tensor:
    if not recipe.outputs_log_probabilities:
        return functional.cross_entropy(scores, codes, label_smoothing=recipe.label_smoothing)
    loss = functional.nll_loss(scores, codes)
    if not recipe.label_smoothing:
        return loss
    return torch.lerp(loss, -scores.mean(), recipe.label_smoothing)


def _distilled(of_labels: Tensor, scores: Tensor, soft_targets: Tensor, how: Distillation) -> Tensor:
    of_teachers = functional.cross_entropy(scores / how.temperature, soft_targets)
    if how.form == "hinton":
        return how.weight * how.temperature**2 * of_teachers + (1 - how.weight) * of_labels
    return how.weight * of_teachers + (1 - how.weight) / how.temperature**2 * of_labels
