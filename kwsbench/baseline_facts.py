"""What baseline files say of themselves, read from their literals: no file runs, so that a list needs no torch."""

from __future__ import annotations

import ast
import json
import re
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

from kwsbench.baseline import LIGHTGBM_FUNCTIONS, TORCH_FUNCTIONS
from kwsbench.catalogue import baseline_paths, shipped_folder
from kwsbench.errors import InputError, reason_of

MOST_BYTES = 1 << 20
"""Most bytes of a file that is read as a baseline, or as a score."""

_MOST = 10**15
_FIELDS = {
    "SOURCE": "source",
    "NUM_PARAMETERS": "num_parameters",
    "MACS": "macs",
    "PUBLISHED_ACCURACY": "published_accuracy",
}


@dataclass(frozen=True)
class BaselineFacts:
    """One baseline.

    Attributes:
        name: What it is called: the name of its file.
        path: Its file.
        source: The citation; empty where the file states none.
        num_parameters: Stored numbers with the default configuration, for 12 labels, as stated.
        macs: Multiply-accumulates for one second at 16 kHz of the same, as stated.
        published_accuracy: Percent, by manifest, as its source has it.
        measured_accuracy: Percent on the test split, by manifest, as `kwsbench score` found it.
        problem: What is wrong with the files; empty where nothing is.
    """

    name: str
    path: Path
    source: str = ""
    num_parameters: int | None = None
    macs: int | None = None
    published_accuracy: Mapping[str, float] = field(default_factory=dict)
    measured_accuracy: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""


def list_baselines(folder: Path | None = None) -> list[BaselineFacts]:
    """Returns the baselines in `folder` (default: the shipped ones) in the order of their names.

    A file that is broken is in the list with its problem. What was measured is looked up beside the folder, in the
    `score.json` of `benchmarks/results/NAME` and of the folders in there, one for each seed; the mean of several for the
    same manifest.

    Raises:
        InputError: There is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise InputError(f"no folder with baselines at {folder}")
    scores = (folder or shipped_folder("baselines")).absolute().parent / "benchmarks" / "results"
    return [_facts(name, path, scores / name) for name, path in baseline_paths(folder).items()]


def short_source(citation: str) -> str:
    """Returns the first author and the year of a citation.

    >>> short_source("Kim, B., Chang, S. and Lee, J. (2021). Broadcasted Residual Learning. Interspeech.")
    'Kim et al. (2021)'
    >>> short_source("Warden, P. (2018). Speech Commands."), short_source("The TensorFlow Authors (2020). Audio.")
    ('Warden (2018)', 'The TensorFlow Authors (2020)')
    """
    authors, opened, rest = citation.partition(" (")
    year = re.match(r"(\d{4})\b[^()]*\)", rest)
    if not opened or not year:
        return citation
    first, comma, others = authors.partition(", ")
    several = comma and (", " in others or " and " in others or " et al" in others)
    return f"{first}{' et al.' if several else ''} ({year[1]})"


def _facts(name: str, path: Path, scores: Path) -> BaselineFacts:
    try:
        stated = _stated(_parse(_read(path)))
    except ValueError as error:
        return BaselineFacts(name, path, problem=str(error))
    facts = BaselineFacts(name, path, **{_FIELDS[key]: value for key, value in stated.items()})
    try:
        return replace(facts, measured_accuracy=_measured(scores))
    except ValueError as error:
        return replace(facts, problem=str(error))


def _read(path: Path) -> bytes:
    """Returns the bytes of a file. Raises ValueError that says why it cannot be read."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("is no file")
        if status.st_size > MOST_BYTES:
            raise ValueError(f"has {status.st_size:,} bytes, expected at most {MOST_BYTES:,}")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {reason_of(error)}") from error


def _parse(source: bytes) -> ast.Module:
    """Returns the syntax tree of a baseline. Raises ValueError that says what is wrong with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler, about the author's escapes
            tree = ast.parse(source)
    except SyntaxError as error:
        where = f" in line {error.lineno}" if error.lineno else ""
        raise ValueError(f"is no Python{where}: {error.msg}") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("is nested too deeply") from error
    names = set(_defined(tree))
    functions = TORCH_FUNCTIONS if "network" in names else LIGHTGBM_FUNCTIONS
    missing = [name for name in ("Config", *functions) if name not in names]
    if missing:
        raise ValueError(f"is not complete: it has no {', no '.join(missing)}")
    return tree


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        else:
            yield from (name for name, _ in _assigned(node))


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    value = getattr(node, "value", None)
    yield from ((target.id, value) for target in targets if isinstance(target, ast.Name) and value is not None)


def _stated(tree: ast.Module) -> dict[str, Any]:
    """Returns what the file states. Raises ValueError that names what is no literal of the right kind."""
    stated = {}
    for node in tree.body:
        for name, value in _assigned(node):
            if name in _CHECKS:
                stated[name] = _literal(name, value)
    return stated


def _literal(name: str, expression: ast.expr) -> Any:
    fits, expected = _CHECKS[name]
    try:
        value = ast.literal_eval(expression)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        value = None
    if not fits(value):
        raise ValueError(f"states {name} in line {expression.lineno} as something else than {expected}")
    return value


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_percent(value: Any) -> bool:
    return type(value) in {int, float} and 0 <= value <= 100


def _is_accuracy(value: Any) -> bool:
    return isinstance(value, dict) and all(type(key) is str and _is_percent(one) for key, one in value.items())


_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = MappingProxyType(
    {
        "SOURCE": (lambda value: isinstance(value, str), "a text"),
        "NUM_PARAMETERS": (_is_count, "a whole number"),
        "MACS": (_is_count, "a whole number"),
        "PUBLISHED_ACCURACY": (_is_accuracy, "percents by the name of a manifest"),
    }
)


def _measured(folder: Path) -> dict[str, float]:
    """Returns the accuracy on the test split in percent, by manifest. Raises ValueError that names what is no score."""
    found: dict[str, list[float]] = {}
    for path in sorted([*folder.glob("score.json"), *folder.glob("*/score.json")]):
        manifest, split, accuracy = _score(path)
        if manifest is not None and split == "test":
            found.setdefault(manifest, []).append(100 * accuracy)
    return {manifest: fmean(accuracies) for manifest, accuracies in found.items()}


def _score(path: Path) -> tuple[str | None, str | None, float]:
    """Returns manifest, split and accuracy of a `score.json`."""
    try:
        record = json.loads(_read(path))
        manifest, split, accuracy = record["manifest"], record["split"], record["summary"]["accuracy"]["value"]
    except (ValueError, KeyError, TypeError, RecursionError):
        manifest = split = accuracy = None
    if type(accuracy) is not float or not 0 <= accuracy <= 1 or not isinstance(manifest, str | None):
        raise ValueError(f"has a score that `kwsbench score` did not write: {path}")
    return manifest, split, accuracy
