"""What a run is determined by: with all of it equal, a run that goes on ends in the weights it would have ended in."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kwsbench import __version__
from kwsbench.baseline import TorchBaseline
from kwsbench.dataset.clips import PreparedDataset
from kwsbench.errors import Problem
from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Recipe
from kwsbench.train.options import TrainingOptions
from kwsbench.train.recipes import flat
from kwsbench.train.teachers import Teacher

Fingerprint = dict[str, Any]
"""By names that a person knows; the values are those of JSON."""

_STATED = frozenset({"SOURCE", "PUBLISHED_ACCURACY", "NUM_PARAMETERS", "MACS"})
_SAME_AGAIN = "in the state"


def fingerprint_of(  # noqa: PLR0913, PLR0917 - all that determines a run
    baseline: TorchBaseline,
    config: Any,
    front_end: FrontEnd,
    recipe: Recipe,
    dataset: PreparedDataset,
    options: TrainingOptions,
    device: str,
    teachers: Sequence[Teacher] = (),
) -> Fingerprint:
    """Returns what determines a run.

    Args:
        baseline: The baseline; of its file the code counts, not what is said about it.
        config: An instance of its `Config`.
        front_end: From samples to features.
        recipe: The recipe.
        dataset: The prepared data set.
        options: Seed, precision and how many share a batch.
        device: `cpu` or `cuda`.
        teachers: Whom it learns from, in their order.
    """
    import torch

    return {
        "baseline": baseline.__name__,
        "code of the baseline": _sha256_of_code(Path(baseline.__file__)),
        **{f"--set {key}": value for key, value in dataclasses.asdict(config).items()},
        **{f"front-end {key}": value for key, value in front_end.model_dump(mode="json").items()},
        **{f"--recipe {key}": value for key, value in flat(recipe).items()},
        **_of_teachers(teachers),
        "--manifest": f"{dataset.manifest.name}, revision {dataset.manifest.revision}",
        "sha256 of clips.csv": dataset.clips_sha256,
        "--seed": options.seed,
        "--threads": torch.get_num_threads(),
        "--device": device,
        "--devices": options.devices,
        "--nodes": options.nodes,
        "--precision": options.precision,
        "version of kwsbench": __version__,
        "version of torch": str(torch.__version__),
    }


def _of_teachers(teachers: Sequence[Teacher]) -> Fingerprint:
    if not teachers:
        return {}
    codes = [_sha256_of_code(Path(teacher.baseline.__file__)) for teacher in teachers]
    return {"--teacher": [teacher.sha256 for teacher in teachers], "code of the teachers": codes}


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[Problem]:
    """Returns where the fingerprint that was found in a state differs from that of the run that is asked for."""
    return [
        Problem(key, f"{_shown(found, key)} {_SAME_AGAIN}", _shown(expected, key))
        for key in dict.fromkeys((*expected, *found))
        if found.get(key) != expected.get(key)
    ]


def _shown(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "nothing"
    text = (", ".join(map(str, values[key])) or "none") if isinstance(values[key], list) else str(values[key])
    return text if len(text) < 64 else f"{text[:12]}..."


def _sha256_of_code(file: Path) -> str:
    """Hashes what a file does: neither comments and docstrings nor the figures that it states."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_said(part)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_said(part: ast.stmt) -> bool:
    if isinstance(part, ast.Expr):
        return isinstance(part.value, ast.Constant)
    return isinstance(part, ast.Assign) and {ast.unparse(target) for target in part.targets} <= _STATED
