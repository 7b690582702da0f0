"""Optimiser and schedule of a recipe, as torch has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from kwsbench.recipe import Recipe


def optimiser_of(recipe: Recipe, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Returns the optimiser of a recipe."""
    common: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(parameters, momentum=recipe.momentum, **common)
    kind = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.AdamW
    return kind(parameters, **common)


def schedule_of(
    recipe: Recipe, optimiser: torch.optim.Optimizer, steps_per_epoch: int, steps_done: int = 0
) -> torch.optim.lr_scheduler.LambdaLR:
    """Returns the schedule of a recipe, to be stepped after every batch.

    Args:
        recipe: The recipe.
        optimiser: Its optimiser, as it was made.
        steps_per_epoch: Batches of an epoch.
        steps_done: Batches that an earlier run has done.
    """
    for group in optimiser.param_groups:
        group["initial_lr"] = recipe.learning_rate
    factor = learning_rate_factor(recipe, steps_per_epoch)
    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor, last_epoch=steps_done - 1)


def learning_rate_factor(recipe: Recipe, steps_per_epoch: int) -> Callable[[int], float]:
    """Returns what part of the highest learning rate the step of a number (from 0) is taken with.

    The warm-up reaches the highest rate at its last step, so that the first is not taken with 0; the cosine begins
    after it and would be 0 one step after the last.
    """
    warm = round(recipe.warmup_epochs * steps_per_epoch)
    total = max(recipe.epochs * steps_per_epoch, warm + 1)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        if recipe.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / (total - warm))))
        if recipe.schedule == "steps":
            return float(recipe.step_factor ** sum(step >= share * total for share in recipe.step_epochs))
        return 1.0

    return factor
