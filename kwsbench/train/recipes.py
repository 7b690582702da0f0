"""The recipe of a baseline, with what a person changes in it by `key=value`."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from kwsbench.baseline import TorchBaseline, errors_of
from kwsbench.errors import InputError, Problem, did_you_mean
from kwsbench.recipe import Augmentation, Distillation, Recipe

_PARTS: Mapping[str, type[Any]] = MappingProxyType({"augmentation": Augmentation, "distillation": Distillation})
"""Fields of a recipe that have fields of their own."""

_Range = tuple[float, float]


def recipe_of(baseline: TorchBaseline, config: Any, settings: Iterable[str] = ()) -> Recipe:
    """Returns the recipe that a baseline states for a configuration, with settings put into it.

    Args:
        baseline: The baseline.
        config: An instance of its `Config`.
        settings: `key=value` with the fields of `Recipe`, and those of its augmentation and distillation as
            `augmentation.shift_s`, `distillation.weight`; ranges and lists are written `0,15`.

    Raises:
        InputError: The baseline states none, or a setting names no field or has a value that cannot be used.
    """
    state = getattr(baseline, "recipe", None)
    if not callable(state):
        raise InputError(f"the baseline {baseline.__file__} states no recipe; give it `def recipe(config) -> Recipe`")
    with errors_of(baseline):
        recipe = state(config)
    if not isinstance(recipe, Recipe):
        found = type(recipe).__name__
        raise InputError(
            f"recipe of the baseline {baseline.__file__} gives a {found}, expected a kwsbench.recipe.Recipe"
        )
    return configure_recipe(recipe, settings)


def configure_recipe(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """Returns the recipe with `key=value` settings put into it; see `recipe_of`."""
    values, problems = _parsed(settings)
    if not problems:
        recipe, problems = _changed(recipe, values)
    if problems:
        raise InputError("the recipe cannot be used", problems)
    return recipe


def _changed(recipe: Recipe, values: Mapping[str, Any]) -> tuple[Recipe, list[Problem]]:
    changed = dataclasses.replace(recipe, **{key: value for key, value in values.items() if "." not in key})
    problems = []
    for name, kind in _PARTS.items():
        own = {key.removeprefix(f"{name}."): value for key, value in values.items() if key.startswith(f"{name}.")}
        try:
            part = dataclasses.replace(getattr(recipe, name) or kind(), **own)
        except ValueError as error:
            problems.append(Problem(name, str(error)))
            continue
        changed = dataclasses.replace(changed, **({name: part} if own else {}))
    return changed, [*problems, *_out_of_bounds(changed)]


def flat(recipe: Recipe) -> dict[str, Any]:
    """Returns the fields of a recipe by the keys that settings use, ranges and lists as lists."""
    fields = dataclasses.asdict(recipe)
    parts = {f"{name}.{key}": value for name in _PARTS for key, value in (fields.pop(name) or {}).items()}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in (fields | parts).items()}


def _kinds() -> dict[str, Any]:
    own = {key: kind for key, kind in typing.get_type_hints(Recipe).items() if key not in _PARTS}
    parts = [(name, typing.get_type_hints(part)) for name, part in _PARTS.items()]
    return own | {f"{name}.{key}": kind for name, kinds in parts for key, kind in kinds.items()}


def _parsed(settings: Iterable[str]) -> tuple[dict[str, Any], list[Problem]]:
    kinds = _kinds()
    values: dict[str, Any] = {}
    problems = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in kinds:
            expected = "a field of the recipe" if equals else "key=value"
            problems.append(Problem(f"--recipe {setting}", repr(key), expected, _meant(key, kinds)))
            continue
        try:
            values[key] = _value(text, kinds[key])
        except ValueError:
            problems.append(Problem(f"--recipe {setting}", repr(text), _described(kinds[key])))
    return values, problems


def _meant(key: str, kinds: Collection[str]) -> str:
    whole = (f"{name}.{key}" for name in _PARTS)
    return did_you_mean(next((one for one in whole if one in kinds), key), kinds)


def _value(text: str, kind: Any) -> Any:
    if typing.get_origin(kind) is typing.Literal:
        return _one_of(text, typing.get_args(kind))
    if kind is bool:
        return _one_of(text.lower(), ("false", "true")) == "true"
    if kind is int:
        return int(text)
    if kind is float:
        return _finite(text)
    numbers = tuple(_finite(part) for part in text.split(",") if part.strip())
    if kind == _Range and len(numbers) != 2:
        raise ValueError(text)
    return numbers


def _one_of(text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise ValueError(text)
    return text


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _described(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(typing.get_args(kind))
    simple = {bool: "true or false", int: "an integer", float: "a number"}
    return simple.get(kind, "two numbers, such as 0,15" if kind == _Range else "numbers, such as 0.5,0.75")


_NOT_NEGATIVE = ("momentum", "weight_decay", "warmup_epochs", "clip_norm", "patience_epochs")

_Holds = Callable[[Any], bool]
_BOUNDS: Mapping[str, tuple[_Holds, str]] = MappingProxyType(
    {
        **dict.fromkeys(("epochs", "batch_size"), (lambda value: value >= 1, "at least 1")),
        **dict.fromkeys(_NOT_NEGATIVE, (lambda value: value >= 0, "at least 0")),
        "learning_rate": (lambda value: value > 0, "more than 0"),
        "label_smoothing": (lambda value: 0 <= value < 1, "0 or more, and less than 1"),
        "step_factor": (lambda value: 0 < value < 1, "more than 0 and less than 1"),
        "step_epochs": (lambda value: all(0 <= share <= 1 for share in value), "shares from 0 to 1"),
    }
)


def _out_of_bounds(recipe: Recipe) -> list[Problem]:
    """Names what is out of bounds; augmentation and distillation look after their own."""
    return [
        Problem(key, repr(getattr(recipe, key)), expected)
        for key, (holds, expected) in _BOUNDS.items()
        if not holds(getattr(recipe, key))
    ]
