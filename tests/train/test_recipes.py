"""Recipes: what a person may change in them, and what is said where that cannot be used."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kwsbench.errors import InputError
from kwsbench.recipe import Augmentation, Distillation, Recipe
from kwsbench.train.recipes import configure_recipe, flat, recipe_of

RECIPE = Recipe(epochs=3, augmentation=Augmentation(shift_s=0.1))
DISTILLED = Recipe(epochs=3, distillation=Distillation(temperature=2.0, weight=0.3))


def test_every_kind_of_field_can_be_set() -> None:
    """Integers, numbers, words, flags, lists and ranges are read, those of the augmentation by its name."""
    settings = [
        *("epochs=7", "learning_rate=1e-2", "optimiser=sgd", "schedule=steps", "step_epochs=0.5,0.75"),
        *("outputs_log_probabilities=true", "augmentation.noise_snr_db=-5,15", "augmentation.time_masks=2"),
    ]
    changed = configure_recipe(RECIPE, settings)
    assert (changed.epochs, changed.learning_rate, changed.optimiser, changed.schedule) == (7, 0.01, "sgd", "steps")
    assert changed.step_epochs == (0.5, 0.75)
    assert changed.outputs_log_probabilities
    assert changed.augmentation == Augmentation(shift_s=0.1, noise_snr_db=(-5.0, 15.0), time_masks=2)


def test_without_settings_it_is_the_recipe() -> None:
    """No settings change nothing."""
    assert configure_recipe(RECIPE, []) == RECIPE


@pytest.mark.parametrize("recipe", [RECIPE, DISTILLED])
def test_the_keys_of_a_flat_recipe_are_those_of_settings(recipe: Recipe) -> None:
    """Every key that `flat` gives can be set to what it gives."""
    shown = {
        key: ",".join(map(str, value)) if isinstance(value, list) else value for key, value in flat(recipe).items()
    }
    assert configure_recipe(Recipe(epochs=1), [f"{key}={value}" for key, value in shown.items()]) == recipe


def test_distillation_can_be_set_in_every_recipe() -> None:
    """A setting changes the distillation that a recipe has, or the default one where it has none."""
    changed = configure_recipe(DISTILLED, ["distillation.form=inverse_square"])
    assert changed.distillation == Distillation(temperature=2.0, weight=0.3, form="inverse_square")
    assert configure_recipe(RECIPE, ["distillation.weight=0.5"]).distillation == Distillation(weight=0.5)
    assert configure_recipe(RECIPE, ["epochs=4"]).distillation is None


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("epoch=3", "did you mean 'epochs'"),
        ("shift_s=0.1", "expected a field of the recipe; did you mean 'augmentation.shift_s'"),
        ("epochs", "expected key=value"),
        ("epochs=many", "expected an integer"),
        ("epochs=0", "expected at least 1"),
        ("learning_rate=nan", "expected a number"),
        ("learning_rate=0", "expected more than 0"),
        ("label_smoothing=1", "less than 1"),
        ("optimiser=lion", "expected sgd or adam or adamw"),
        ("outputs_log_probabilities=perhaps", "expected true or false"),
        ("step_epochs=2", "expected shares from 0 to 1"),
        ("augmentation.noise_snr_db=3", "expected two numbers, such as 0,15"),
        ("augmentation.noise_snr_db=15,0", "noise_snr_db is (15.0, 0.0), which ends before it begins"),
        ("augmentation.noise_probability=1.5", "noise_probability is 1.5, not between 0 and 1"),
        ("augmentation.speed=0,1", "speed is (0.0, 1.0), not between"),
        ("clip_norm=-1", "expected at least 0"),
        ("step_factor=1", "expected more than 0 and less than 1"),
        ("distillation=2", "expected a field of the recipe"),
        ("temperature=2", "did you mean 'distillation.temperature'"),
        ("distillation.temperature=0", "temperature is 0.0, not between 0.1 and 100"),
        ("distillation.weight=1.5", "weight is 1.5, not between 0 and 1"),
        ("distillation.form=kl", "expected hinton or inverse_square"),
    ],
)
def test_what_cannot_be_used_is_named(setting: str, said: str) -> None:
    """A key that does not exist, a value of another type or out of bounds says what is expected."""
    with pytest.raises(InputError, match="the recipe cannot be used") as caught:
        configure_recipe(RECIPE, [setting])
    assert said in str(caught.value)


def test_all_that_is_wrong_is_named_at_once() -> None:
    """Two wrong settings are two problems of one error."""
    with pytest.raises(InputError) as caught:
        configure_recipe(RECIPE, ["epochs=many", "nonsense=1"])
    assert len(caught.value.problems) == 2


def _baseline(**functions: Any) -> Any:
    return SimpleNamespace(__name__="some", __file__=str(Path("some.py")), **functions)


def test_a_baseline_without_a_recipe_says_so() -> None:
    """A file without `recipe`, or with one that gives something else or fails, is an error that names the file."""
    with pytest.raises(InputError, match=r"some\.py states no recipe"):
        recipe_of(_baseline(), None)
    with pytest.raises(InputError, match=r"recipe of the baseline some\.py gives a dict"):
        recipe_of(_baseline(recipe=lambda _: {}), None)
    with pytest.raises(InputError, match=r"some\.py failed: AttributeError"):
        recipe_of(_baseline(recipe=lambda config: config.nothing), None)


def test_a_distillation_that_does_not_exist_is_an_error() -> None:
    """A baseline file that misspells the form is told."""
    with pytest.raises(ValueError, match="form is 'tucker', not one of hinton, inverse_square"):
        Distillation(form="tucker")  # type: ignore[arg-type]
