"""Loads a baseline, one file per published system, and its configuration."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from kwsbench.catalogue import baseline_paths, find_baseline
from kwsbench.errors import InputError, KwsbenchError, Problem, RefusedError, did_you_mean
from kwsbench.front_end import FrontEnd

Setting = int | float | str | bool
"""A value of a configuration."""

_FUNCTIONS = ("front_end", "summarise", "lightgbm_parameters")
_ROUNDS = ("num_boost_round", "early_stopping_rounds")


class LightgbmBaseline(Protocol):
    """What a baseline file on LightGBM holds.

    `Config` is a frozen dataclass whose fields all have defaults, among them the integers `num_boost_round` and
    `early_stopping_rounds`, which the training reads.
    """

    __name__: str
    __file__: str
    Config: type[Any]

    def front_end(self, config: Any, default: FrontEnd) -> FrontEnd:
        """Returns the front-end, given the manifest's."""
        ...

    def summarise(self, features: NDArray[np.float32], config: Any) -> NDArray[np.float32]:
        """Turns front-end features (clips, coefficients, frames) into (clips, dimensions)."""
        ...

    def lightgbm_parameters(self, config: Any, num_labels: int, seed: int, num_threads: int) -> dict[str, Any]:
        """Returns LightGBM's parameters."""
        ...


def load_baseline(name_or_path: str, folder: Path | None = None) -> LightgbmBaseline:
    """Imports a baseline by its name in `folder` or by the path of its file.

    The file runs as part of this program, so it is only ever named by the person at the keyboard, or looked up by
    a bare name in a folder that this person chose.

    Raises:
        InputError: There is none, it cannot be imported, or it lacks a part.
    """
    if folder is not None and not folder.is_dir():
        raise InputError(f"no folder with baselines at {folder}")
    path = find_baseline(name_or_path, folder)
    if path.stem.startswith("_"):
        raise InputError(f"{path} is no baseline: the name of a baseline does not begin with `_`")
    module = _import(path)
    problems = [*_missing_functions(module, path), *_config_problems(module, path)]
    if problems:
        raise InputError(f"the baseline {path} is not complete", problems)
    return cast("LightgbmBaseline", module)


def load_baseline_of_model(name: str, folder: Path | None = None) -> LightgbmBaseline:
    """Imports the baseline that a model file names.

    A model may come from a stranger, so its word is only looked up among the names in `folder` (default: the shipped
    baselines) and is never a path.

    Raises:
        RefusedError: The model names something that is no bare name.
        InputError: There is no baseline of that name, or it cannot be used.
    """
    known = baseline_paths(folder)
    if name in known:
        return load_baseline(name, folder)
    if not re.fullmatch(r"\w[\w-]*", name):
        raise RefusedError(
            f"the model names the baseline {name!r}, which is no plain name; a model cannot choose which file is run"
        )
    raise InputError(
        f"the model was trained with the baseline {name!r}, which is not here (there are: {', '.join(known) or 'none'});"
        " name its folder with --baselines"
    )


@contextmanager
def errors_of(baseline: LightgbmBaseline) -> Iterator[None]:
    """Turns an error in the code of a baseline, which its author has to see, into an InputError with file and line."""
    try:
        yield
    except (KwsbenchError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"the baseline {baseline.__file__} {_failed(baseline.__file__, error)}") from error


def configure(baseline: LightgbmBaseline, settings: Iterable[str]) -> Any:
    """Returns the baseline's configuration with `key=value` settings put into it.

    Raises:
        InputError: A setting is not `key=value`, its key does not exist, or its value has the wrong type.
    """
    fields = _defaults(baseline)
    values: dict[str, Setting] = {}
    problems = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in fields:
            expected = f"one of {', '.join(fields)}" if equals else "key=value"
            problems.append(Problem(f"--set {setting}", repr(key), expected, did_you_mean(key, fields)))
            continue
        try:
            values[key] = _parse(text, fields[key])
        except ValueError:
            problems.append(Problem(f"--set {setting}", repr(text), _kind_of(fields[key])))
    if problems:
        raise InputError("the configuration cannot be used", problems)
    with errors_of(baseline):
        return baseline.Config(**values)


def configure_from(baseline: LightgbmBaseline, config: Mapping[str, Setting]) -> Any:
    """Returns the configuration that a model was trained with. Raises InputError where the baseline has other fields."""
    defaults = _defaults(baseline)
    problems = [
        Problem(f"setting {key}", repr(value), _kind_of(defaults[key]) if key in defaults else "no field of this name")
        for key, value in config.items()
        if key not in defaults or type(value) is not type(defaults[key])
    ]
    if problems:
        raise InputError("the model does not fit the baseline of today; train it again", problems)
    with errors_of(baseline):
        return baseline.Config(**config)


def _defaults(baseline: LightgbmBaseline) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(baseline.Config)}


def _kind_of(default: Setting) -> str:
    kind = {bool: "true or false", int: "an integer", float: "a number"}.get(type(default), "a text")
    return f"{kind} (default: {default!r})"


def _parse(text: str, default: Setting) -> Setting:
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    value = type(default)(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(text)
    return value


def _missing_functions(module: ModuleType, path: Path) -> Iterator[Problem]:
    for name in _FUNCTIONS:
        if not callable(getattr(module, name, None)):
            yield Problem(str(path), f"no function {name}", f"a baseline with {', '.join(_FUNCTIONS)} and Config")


def _config_problems(module: ModuleType, path: Path) -> Iterator[Problem]:
    config = getattr(module, "Config", None)
    if not isinstance(config, type) or not dataclasses.is_dataclass(config):
        yield Problem(str(path), "no dataclass Config", "one whose fields all have defaults")
        return
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name in _ROUNDS:
        if name not in defaults:
            yield Problem(str(path), f"no field {name} in Config", "an integer with a default")
    for name, default in defaults.items():
        if not isinstance(default, Setting):
            yield Problem(str(path), f"the field {name} of Config without a simple default", "int, float, str or bool")


def _import(path: Path) -> ModuleType:
    path = path.absolute()  # as tracebacks have it
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    registered = sys.modules.setdefault(path.stem, module)  # where dataclasses look up the names in annotations
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        if registered is module:
            del sys.modules[path.stem]
        raise InputError(f"the baseline {path} {_failed(str(path), error)}") from error
    return module


def _failed(path: str, error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    line = getattr(error, "lineno", None) or (frames[-1].lineno if frames else None)
    where = f" in line {line}" if line else ""
    if isinstance(error, ValidationError):
        reasons = (detail["msg"].removeprefix("Value error, ") for detail in error.errors(include_url=False))
        return f"failed{where}: {'; '.join(reasons)}"
    return f"failed{where}: {type(error).__name__}: {error}"
