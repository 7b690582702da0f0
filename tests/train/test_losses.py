"""Losses, whatever the network's last layer gives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kwsbench.recipe import Distillation, Recipe
from kwsbench.train.losses import loss_of, soft_targets

SCORES = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
CODES = torch.tensor([0, 1, 2, 3, 0, 1])
TEACHERS = [3 * torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)) for seed in (2, 3)]
FORMS = ["hinton", "inverse_square"]


def _distilled(**settings: Any) -> Recipe:
    return Recipe(epochs=1, distillation=Distillation(**settings))


def _loss(recipe: Recipe, scores: torch.Tensor = SCORES, teachers: list[torch.Tensor] = TEACHERS) -> torch.Tensor:
    assert recipe.distillation is not None
    return loss_of(scores, CODES, recipe, soft_targets(teachers, recipe.distillation.temperature))


def _gradient(recipe: Recipe, teachers: list[torch.Tensor] = TEACHERS) -> NDArray[np.float64]:
    """Of the loss by the scores, in 64 bits."""
    scores = SCORES.double().requires_grad_()
    _loss(recipe, scores, [teacher.double() for teacher in teachers]).backward()  # type: ignore[no-untyped-call]
    return np.asarray(scores.grad)


def _softmax_by_hand(scores: list[float], temperature: float) -> list[float]:
    """Equation 1 of Hinton et al."""
    powers = [math.exp(score / temperature) for score in scores]
    return [power / sum(powers) for power in powers]


def _loss_by_hand(temperature: float, weight: float, form: str) -> float:
    losses: list[float] = []
    for clip, code in enumerate(CODES.tolist()):
        of_teachers = [_softmax_by_hand(teacher[clip].tolist(), temperature) for teacher in TEACHERS]
        soft = [sum(column) / len(TEACHERS) for column in zip(*of_teachers, strict=True)]
        hot, cold = (_softmax_by_hand(SCORES[clip].tolist(), heat) for heat in (temperature, 1))
        of_soft = -sum(target * math.log(given) for target, given in zip(soft, hot, strict=True))
        of_label = -math.log(cold[code])
        if form == "hinton":
            losses.append(weight * temperature**2 * of_soft + (1 - weight) * of_label)
        else:
            losses.append(weight * of_soft + (1 - weight) * of_label / temperature**2)
    return sum(losses) / len(losses)


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


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("weight", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_distillation_is_its_formula(temperature: float, weight: float, form: str) -> None:
    """Both forms, for an ensemble of two, are what loops over clips and labels give."""
    loss = _loss(_distilled(temperature=temperature, weight=weight, form=form))
    assert float(loss) == pytest.approx(_loss_by_hand(temperature, weight, form), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("form", FORMS)
def test_a_weight_of_0_is_the_plain_loss(form: str, smoothing: float) -> None:
    """At any temperature the labels alone count, to the bit."""
    how = Distillation(temperature=3.0, weight=0.0, form=form)  # type: ignore[arg-type]
    recipe = Recipe(epochs=1, label_smoothing=smoothing, distillation=how)
    assert _loss(recipe) == loss_of(SCORES, CODES, Recipe(epochs=1, label_smoothing=smoothing))


@pytest.mark.parametrize("form", FORMS)
def test_a_teacher_that_is_certain_of_the_labels_teaches_the_labels(form: str) -> None:
    """At temperature 1, whatever the weight, right and certain teachers give the plain loss."""
    certain = 100 * torch.nn.functional.one_hot(CODES, 4).float()
    loss = _loss(_distilled(temperature=1.0, weight=0.7, form=form), teachers=[certain, certain])
    torch.testing.assert_close(loss, loss_of(SCORES, CODES, Recipe(epochs=1)))


def test_at_temperature_1_both_forms_are_the_weighted_mean() -> None:
    """T^2 and 1/T^2 are 1 there."""
    one, other = (_loss(_distilled(temperature=1.0, weight=0.4, form=form)) for form in FORMS)
    assert one == other


def test_the_gradient_is_the_difference_of_probabilities() -> None:
    """Equation 2 of Hinton et al., with their factor T^2: T (student - teachers) / clips, where labels do not count."""
    temperature = 3.0
    student = (SCORES.double() / temperature).softmax(1)
    teachers = soft_targets([teacher.double() for teacher in TEACHERS], temperature)
    expected = temperature * (student - teachers) / len(CODES)
    np.testing.assert_allclose(_gradient(_distilled(temperature=temperature, weight=1.0)), expected, rtol=1e-9)


def test_the_gradient_of_soft_targets_does_not_fall_with_the_temperature() -> None:
    """Equation 4: in the limit it is the difference of the centred scores / labels; without T^2 it would be 1/T^2 of it."""
    student, teacher = (scores.double() - scores.double().mean(1, keepdim=True) for scores in (SCORES, TEACHERS[0]))
    limit = (student - teacher).numpy() / (4 * len(CODES))
    hot = _gradient(_distilled(temperature=100.0, weight=1.0), TEACHERS[:1])
    np.testing.assert_allclose(hot, limit, atol=0.02 * np.abs(limit).max())
    without = _gradient(_distilled(temperature=100.0, weight=1.0, form="inverse_square"), TEACHERS[:1])
    np.testing.assert_allclose(without * 100**2, hot)


@pytest.mark.parametrize("temperature", [0.5, 2.0, 10.0])
def test_the_two_forms_differ_by_the_square_of_the_temperature(temperature: float) -> None:
    """Labels and teachers are balanced alike; only the length of the gradient differs."""
    hinton, other = (_gradient(_distilled(temperature=temperature, weight=0.6, form=form)) for form in FORMS)
    np.testing.assert_allclose(other * temperature**2, hinton)


def test_log_probabilities_are_distilled_as_their_scores_are() -> None:
    """A student or a teacher that ends in a log-softmax gives the same loss."""
    how = Distillation(temperature=2.5, weight=0.5)
    logarithms = Recipe(epochs=1, outputs_log_probabilities=True, distillation=how)
    expected = _loss(Recipe(epochs=1, distillation=how))
    given = _loss(logarithms, SCORES.log_softmax(1), [teacher.log_softmax(1) for teacher in TEACHERS])
    torch.testing.assert_close(given, expected)
