"""Loads a baseline, one file per published system, its configuration and, where it is one in torch, its network.

A baseline in torch says of every number in its `Config` how far it may go, with
`field(default=16, metadata={"least": 1, "most": 512})`: the configuration in a model file may be a stranger's.
"""

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
from typing import Any, Protocol, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from kwsbench.catalogue import baseline_paths, find_baseline
from kwsbench.errors import InputError, KwsbenchError, Problem, RefusedError, did_you_mean
from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Recipe

Setting = int | float | str | bool
"""A value of a configuration."""

MOST_STORED_NUMBERS = 50_000_000
"""Most numbers that the network of a baseline may store: 200 MB, a thousand times what keyword spotting needs."""

LIGHTGBM_FUNCTIONS = ("front_end", "summarise", "lightgbm_parameters")
"""What a baseline file on LightGBM defines, besides `Config`."""

TORCH_FUNCTIONS = ("front_end", "recipe", "network")
"""What a baseline file in torch defines, besides `Config`."""

_ROUNDS = ("num_boost_round", "early_stopping_rounds")
_BOUNDS = 'metadata={"least": ..., "most": ...}'


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


class TorchBaseline(Protocol):
    """What a baseline file in torch holds: an architecture, its front-end and how it is trained.

    `Config` is a frozen dataclass whose fields all have defaults, and whose numbers all have bounds. The files that
    ship also state, in literals that can be read without running them: `SOURCE` (a citation), `PUBLISHED_ACCURACY`
    (by manifest, in percent), and with the default configuration, its own front-end, 12 labels and one second at
    16 kHz, `NUM_PARAMETERS` (stored numbers, running statistics aside) and `MACS`.
    """

    __name__: str
    __file__: str
    Config: type[Any]

    def front_end(self, config: Any, default: FrontEnd) -> FrontEnd:
        """Returns the front-end, given the manifest's."""
        ...

    def recipe(self, config: Any) -> Recipe:
        """Returns how the network is trained: as published, where the source says it."""
        ...

    def network(self, config: Any, num_labels: int, num_coefficients: int, num_frames: int) -> Any:
        """Returns the `torch.nn.Module` that maps float32 (batch, coefficients, frames) to scores (batch, labels).

        It can be made on torch's `meta` device, and its scores of a clip do not depend on the clips beside it.
        """
        ...


Baseline = LightgbmBaseline | TorchBaseline
"""A baseline file of either kind."""


def is_torch(baseline: Baseline) -> TypeGuard[TorchBaseline]:
    """Returns whether the baseline is an architecture in torch."""
    return hasattr(baseline, "network")


def require_torch(baseline: Baseline) -> TorchBaseline:
    """Returns the baseline as one in torch. Raises InputError where it is one on LightGBM."""
    if not is_torch(baseline):
        raise InputError(f"the baseline {baseline.__file__} holds no network: it is one on LightGBM")
    return baseline


def require_lightgbm(baseline: Baseline) -> LightgbmBaseline:
    """Returns the baseline as one on LightGBM. Raises InputError where it is an architecture in torch."""
    if is_torch(baseline):
        raise InputError(f"the baseline {baseline.__file__} is an architecture in torch, expected one on LightGBM")
    return cast("LightgbmBaseline", baseline)


def load_baseline(name_or_path: str, folder: Path | None = None) -> Baseline:
    """Imports a baseline by its name in `folder` or by the path of its file.

    The file runs as part of this program, so it is only ever named by the person at the keyboard, or looked up by
    a bare name in a folder that this person chose.

    Raises:
        InputError: There is none, it cannot be imported, or it lacks parts; all are named.
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
    return cast("Baseline", module)


def load_baseline_of_model(name: str, folder: Path | None = None) -> Baseline:
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
def errors_of(baseline: Baseline) -> Iterator[None]:
    """Turns an error in the code of a baseline, which its author has to see, into an InputError with file and line."""
    try:
        yield
    except (KwsbenchError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"the baseline {baseline.__file__} {_failed(baseline.__file__, error)}") from error


def configure(baseline: Baseline, settings: Iterable[str]) -> Any:
    """Returns the baseline's configuration with `key=value` settings put into it.

    Raises:
        InputError: A setting is not `key=value`, its key does not exist, or its value has the wrong type or is out of
            bounds.
    """
    fields = _fields(baseline.Config)
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


def configure_from(baseline: Baseline, config: Mapping[str, Setting]) -> Any:
    """Returns the configuration that a model was trained with.

    Raises:
        InputError: The baseline has no such field, or the value has another type or is out of bounds.
    """
    fields = _fields(baseline.Config)
    problems = [
        Problem(f"setting {key}", repr(value), _kind_of(fields[key]) if key in fields else "no field of this name")
        for key, value in config.items()
        if key not in fields or not _fits(value, fields[key])
    ]
    if problems:
        raise InputError("the model does not fit the baseline of today; train it again", problems)
    with errors_of(baseline):
        return baseline.Config(**config)


def build_network(baseline: Baseline, config: Any, num_labels: int, num_coefficients: int, num_frames: int) -> Any:
    """Makes the network of a baseline in torch, with random weights from torch's generator, in training mode.

    It is made on the `meta` device first, where weights take no memory, so that no configuration and no shape can
    fill the memory.

    Returns:
        A `torch.nn.Module` that maps float32 (batch, `num_coefficients`, `num_frames`) to (batch, `num_labels`).

    Raises:
        InputError: The baseline is not one in torch, a setting is out of bounds, there is nothing to map, the network
            stores over `MOST_STORED_NUMBERS`, or the baseline fails.
    """
    architecture = require_torch(baseline)
    import torch

    _check_bounds(architecture, config)
    sizes = (num_labels, num_coefficients, num_frames)
    shape = f"{num_labels:,} labels, {num_coefficients:,} coefficients and {num_frames:,} frames"
    if min(sizes) < 1:
        raise InputError(f"{baseline.__name__} cannot be made for {shape}: each must be at least 1")
    with errors_of(baseline), torch.device("meta"):
        outline = architecture.network(config, *sizes)
    if not isinstance(outline, torch.nn.Module):
        found = type(outline).__name__
        raise InputError(f"network of the baseline {baseline.__file__} gives a {found}, expected a torch.nn.Module")
    num_stored = sum(tensor.numel() for tensor in (*outline.parameters(), *outline.buffers()))
    if num_stored > MOST_STORED_NUMBERS:
        most = f"more than the {MOST_STORED_NUMBERS:,} that a network may"
        raise InputError(f"{baseline.__name__} would store {num_stored:,} numbers for {shape}, {most}")
    with errors_of(baseline):
        return architecture.network(config, *sizes)


def _check_bounds(baseline: TorchBaseline, config: Any) -> None:
    problems = [
        Problem(f"setting {name}", repr(getattr(config, name)), _kind_of(field))
        for name, field in _fields(baseline.Config).items()
        if not _fits(getattr(config, name), field)
    ]
    if problems:
        raise InputError(f"{baseline.__name__} cannot be made with this configuration", problems)


def _fields(config: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(config)}


def _kind_of(field: dataclasses.Field[Any]) -> str:
    kind = {bool: "true or false", int: "an integer", float: "a number"}.get(type(field.default), "a text")
    bounds = f" from {field.metadata['least']} to {field.metadata['most']}" if _has_bounds(field) else ""
    return f"{kind}{bounds} (default: {field.default!r})"


def _has_bounds(field: dataclasses.Field[Any]) -> bool:
    return {"least", "most"} <= set(field.metadata)


def _fits(value: Any, field: dataclasses.Field[Any]) -> bool:
    if type(value) is not type(field.default):
        return False
    return not _has_bounds(field) or field.metadata["least"] <= value <= field.metadata["most"]


def _parse(text: str, field: dataclasses.Field[Any]) -> Setting:
    if isinstance(field.default, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    kind: type[Any] = type(field.default)
    value = kind(text)
    if (kind is float and not math.isfinite(value)) or not _fits(value, field):
        raise ValueError(text)
    return cast("Setting", value)


def _missing_functions(module: ModuleType, path: Path) -> Iterator[Problem]:
    functions = TORCH_FUNCTIONS if hasattr(module, "network") else LIGHTGBM_FUNCTIONS
    for name in functions:
        if not callable(getattr(module, name, None)):
            yield Problem(str(path), f"no function {name}", f"a baseline with {', '.join(functions)} and Config")


def _config_problems(module: ModuleType, path: Path) -> Iterator[Problem]:
    config = getattr(module, "Config", None)
    if not isinstance(config, type) or not dataclasses.is_dataclass(config):
        yield Problem(str(path), "no dataclass Config", "one whose fields all have defaults")
        return
    fields = _fields(config)
    if not hasattr(module, "network"):
        for name in _ROUNDS:
            if name not in fields:
                yield Problem(str(path), f"no field {name} in Config", "an integer with a default")
    for name, field in fields.items():
        if not isinstance(field.default, Setting):
            yield Problem(str(path), f"the field {name} of Config without a simple default", "int, float, str or bool")
        elif hasattr(module, "network") and not _is_bounded(field):
            yield Problem(
                str(path), f"the field {name} of Config without bounds", f"field(default={field.default!r}, {_BOUNDS})"
            )


def _is_bounded(field: dataclasses.Field[Any]) -> bool:
    """Whether its default lies within its bounds, if it is a number."""
    is_number = isinstance(field.default, int | float) and not isinstance(field.default, bool)
    return not is_number or (_has_bounds(field) and _fits(field.default, field))


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
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            raise InputError(
                f"the baseline {path} needs torch, which is not installed; run `pip install 'kwsbench[torch]'`"
            ) from error
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
