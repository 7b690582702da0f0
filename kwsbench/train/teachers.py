"""Teachers: networks that kwsbench trained before, whose probabilities a student learns beside the labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kwsbench.baseline import Baseline, errors_of, load_baseline_of_model
from kwsbench.catalogue import baseline_paths
from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.model_file import Format, read_model_file
from kwsbench.checkpoint.network import load_network
from kwsbench.errors import InputError, Problem
from kwsbench.front_end import FrontEnd
from kwsbench.manifest import Manifest
from kwsbench.recipe import Distillation, Recipe
from kwsbench.runtime.networks import input_shape_of, network_of_checkpoint

_EXPORTS = (Format.ONNX, Format.TORCHSCRIPT, Format.EXPORTED_PROGRAM)


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network that teaches.

    Attributes:
        path: Its file, for messages.
        sha256: SHA-256 of the file.
        header: What it is and how it was made.
        baseline: The baseline that it is an instance of.
        network: The network, in evaluation mode and without gradients.
    """

    path: Path
    sha256: str
    header: ModelHeader
    baseline: Baseline
    network: Any

    @property
    def front_end(self) -> FrontEnd:
        """From samples to what it hears; its own, not the student's."""
        return self.header.front_end

    def scores(self, features: Tensor) -> Tensor:
        """Returns its scores in 32 bits, shape (clips, labels). Raises InputError where they are of another shape."""
        with torch.no_grad():
            scores = self.network(features)
        expected = (len(features), len(self.header.labels))
        if torch.is_tensor(scores) and tuple(scores.shape) == expected:
            return scores.float()
        found = f"shape {tuple(scores.shape)}" if torch.is_tensor(scores) else f"a {type(scores).__name__}"
        raise InputError(f"the teacher {self.path} gives {found} for {expected[0]} clips, expected {expected}")


def read_teacher(path: Path, baselines: Path | None = None) -> Teacher:
    """Reads a teacher, and lets it hear two clips of noise.

    Args:
        path: A checkpoint of `kwsbench train`.
        baselines: Folder of the baselines that it may name; those that ship are known beside them.

    Raises:
        InputError: It is missing, damaged, no checkpoint of kwsbench, of a baseline that is not here or has changed, or
            gives scores that are not finite.
        RefusedError: It could do harm.
    """
    file = read_model_file(path)
    if file.format != Format.KWSBENCH:
        raise InputError(
            f"{path} ({file.format}) cannot teach: {_reason(file.format)}; a teacher is a checkpoint of"
            " `kwsbench train`, such as its model.pt"
        )
    checkpoint = load_network(file)
    named = checkpoint.header.baseline
    folder = baselines if baselines is None or named in baseline_paths(baselines) else None
    try:
        baseline = load_baseline_of_model(named, folder)
        network = network_of_checkpoint(checkpoint, folder)
    except InputError as error:
        raise InputError(f"the teacher {path} cannot be used: {error.message}", error.problems) from error
    teacher = Teacher(
        path, file.sha256, checkpoint.header, baseline, network.eval().requires_grad_(requires_grad=False)
    )
    _try(teacher)
    return teacher


def _reason(form: Format) -> str:
    if form in _EXPORTS:
        return "exports run apart from this program, in the sandbox, and a teacher runs inside the training"
    if form == Format.LIGHTGBM:
        return "it is no network in torch"
    return "without kwsbench's header its labels and its front-end are not known"


def _try(teacher: Teacher) -> None:
    noise = torch.randn((2, *input_shape_of(teacher.header)), generator=torch.Generator().manual_seed(0))
    with errors_of(teacher.baseline):
        scores = teacher.scores(noise)
    if not torch.isfinite(scores).all():
        raise InputError(f"the teacher {teacher.path} gives scores that are not finite numbers")


def require_fitting(teachers: Iterable[Teacher], manifest: Manifest) -> None:
    """Raises InputError where a teacher gives other labels than the student, or hears other clips; all are named."""
    problems = [
        Problem(f"{teacher.path}, {what}", _shown(found), _shown(expected))
        for teacher in teachers
        for what, found, expected in (
            ("labels", teacher.header.labels, manifest.labels),
            ("samples per second", teacher.header.sample_rate_hz, manifest.sample_rate_hz),
            ("samples of a clip", teacher.header.clip_samples, manifest.clip_samples),
        )
        if found != expected
    ]
    if problems:
        raise InputError(
            f"a teacher does not fit {manifest.name}; it must have been trained for the same task", problems
        )


def doubts(teachers: Iterable[Teacher], clips_sha256: str) -> Iterator[str]:
    """Yields a sentence on each teacher that was trained on other clips than those of the student."""
    for teacher in teachers:
        if teacher.header.clips_sha256 != clips_sha256:
            yield (
                f"the teacher {teacher.path} was trained on other clips ({teacher.header.manifest}, revision"
                f" {teacher.header.revision}); if clips of this validation or test split were among them, the student's"
                " figures there are too good"
            )


def _shown(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else f"{value:,}"


def recipe_with(recipe: Recipe, teachers: Sequence[Teacher]) -> Recipe:
    """Returns the recipe for these teachers: with a default `Distillation` where it has none and there are some.

    Raises:
        InputError: It has one, and there is no teacher.
    """
    if teachers:
        return recipe if recipe.distillation else replace(recipe, distillation=Distillation())
    if recipe.distillation and recipe.distillation.weight:
        raise InputError(
            "the recipe is one of distillation, and no teacher is given; name one with --teacher MODEL, or learn from the"
            " labels alone with --recipe distillation.weight=0"
        )
    return recipe
