"""Optimisers and schedules, held against torch's own."""

from __future__ import annotations

import pytest
import torch

from kwsbench.recipe import Recipe
from kwsbench.train.optimisers import learning_rate_factor, optimiser_of, schedule_of

STEPS = 5


def _parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(1))


def _rates(schedule: torch.optim.lr_scheduler.LRScheduler, number: int) -> list[float]:
    rates = []
    for _ in range(number):
        rates.append(float(schedule.get_last_lr()[0]))
        schedule.optimizer.step()
        schedule.step()
    return rates


def _rates_of(recipe: Recipe) -> list[float]:
    optimiser = optimiser_of(recipe, [_parameter()])
    return _rates(schedule_of(recipe, optimiser, STEPS), recipe.epochs * STEPS)


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimiser_is_torch_s_with_the_settings_of_the_recipe(name: str, kind: type) -> None:
    """Rate, weight decay and momentum reach the optimiser."""
    recipe = Recipe(epochs=1, optimiser=name, learning_rate=0.3, weight_decay=0.01, momentum=0.8)  # type: ignore[arg-type]
    optimiser = optimiser_of(recipe, [_parameter()])
    (group,) = optimiser.param_groups
    assert type(optimiser) is kind
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.01)
    assert group.get("momentum", 0.8) == 0.8


def test_the_cosine_is_torch_s() -> None:
    """Without a warm-up the rates are those of CosineAnnealingLR."""
    recipe = Recipe(epochs=4, learning_rate=0.1, schedule="cosine")
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser_of(recipe, [_parameter()]), 4 * STEPS)
    assert _rates_of(recipe) == pytest.approx(_rates(oracle, 4 * STEPS))


@pytest.mark.parametrize("factor", [0.1, 0.2])
def test_the_steps_are_torch_s(factor: float) -> None:
    """The rates of `steps` are those of MultiStepLR: multiplied by the factor of the recipe at each step."""
    recipe = Recipe(epochs=4, learning_rate=0.1, schedule="steps", step_epochs=(0.5, 0.75), step_factor=factor)
    milestones = [2 * STEPS, 3 * STEPS]
    oracle = torch.optim.lr_scheduler.MultiStepLR(optimiser_of(recipe, [_parameter()]), milestones, factor)
    assert _rates_of(recipe) == pytest.approx(_rates(oracle, 4 * STEPS))


def test_the_warm_up_is_a_line_to_the_highest_rate() -> None:
    """Two epochs of warm-up rise evenly, from more than 0, and the cosine starts where they end."""
    recipe = Recipe(epochs=4, learning_rate=1.0, schedule="cosine", warmup_epochs=2)
    rates = _rates_of(recipe)
    assert rates[: 2 * STEPS] == pytest.approx([(step + 1) / (2 * STEPS) for step in range(2 * STEPS)])
    assert rates[2 * STEPS] == pytest.approx(1)
    assert 0 < rates[-1] < 0.05
    assert rates[2 * STEPS :] == sorted(rates[2 * STEPS :], reverse=True)


def test_a_constant_rate_stays() -> None:
    """Part of an epoch can be a warm-up, after which the rate stays."""
    recipe = Recipe(epochs=2, learning_rate=1.0, schedule="constant", warmup_epochs=0.4)
    assert _rates_of(recipe) == pytest.approx([0.5, *[1.0] * 9])


def test_a_warm_up_longer_than_the_run_is_no_error() -> None:
    """With more warm-up than epochs the highest rate is never reached."""
    factor = learning_rate_factor(Recipe(epochs=1, warmup_epochs=3), STEPS)
    assert [factor(step) for step in range(STEPS)] == pytest.approx([(step + 1) / 15 for step in range(STEPS)])


@pytest.mark.parametrize("done", [0, 1, 7, 12])
def test_a_schedule_that_goes_on_gives_the_same_numbers(done: int) -> None:
    """Made for a run of which some steps are done, it gives exactly the rates of the rest."""
    recipe = Recipe(epochs=4, learning_rate=0.1, warmup_epochs=1)
    optimiser = optimiser_of(recipe, [_parameter()])
    assert _rates(schedule_of(recipe, optimiser, STEPS, done), 4 * STEPS - done) == _rates_of(recipe)[done:]


def test_the_steps_divide_by_ten_where_the_recipe_does_not_say() -> None:
    """The factor is 0.1 by default."""
    assert Recipe(epochs=1).step_factor == 0.1
