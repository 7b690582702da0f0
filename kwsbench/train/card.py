"""The model card: what a trained network is, in Markdown, made from nothing but the run's settings and its history."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kwsbench import __version__
from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.stored import stored_numbers
from kwsbench.recipe import Augmentation, Recipe
from kwsbench.train.history import EpochRecord, best_of
from kwsbench.train.options import TrainingOptions
from kwsbench.train.recipes import flat
from kwsbench.train.teachers import Teacher


@dataclass(frozen=True)
class CardFacts:
    """What a card states beside the history.

    Attributes:
        header: What the model is.
        title: What the manifest calls its benchmark.
        licence: Licence of the data.
        source: Where the architecture is from; may be empty.
        recipe: How it was trained.
        options: Seed and precision.
        num_train_clips: Clips that it was trained on.
        num_validation_clips: Clips that the best epoch was chosen with.
        teachers: Whom it learnt from.
    """

    header: ModelHeader
    title: str
    licence: str
    source: str
    recipe: Recipe
    options: TrainingOptions
    num_train_clips: int
    num_validation_clips: int
    teachers: tuple[Teacher, ...] = ()


def model_card(facts: CardFacts, history: Sequence[EpochRecord], weights: dict[str, Any]) -> str:
    """Returns the card; it holds no figures of the test split, no times and no names of machines."""
    best = best_of(history)
    parts = [
        f"# {facts.header.baseline} on {facts.header.manifest}",
        _what(facts, weights),
        "## Validation",
        _table(
            ("figure", f"best epoch ({best.epoch}), `model.pt`", f"last epoch ({len(history)}), `last.pt`"),
            [
                ("accuracy", _percent(best.validation_accuracy), _percent(history[-1].validation_accuracy)),
                (
                    "balanced accuracy",
                    _percent(best.validation_balanced_accuracy),
                    _percent(history[-1].validation_balanced_accuracy),
                ),
                ("cross-entropy", f"{best.validation_loss:.4f}", f"{history[-1].validation_loss:.4f}"),
            ],
        ),
        _caution(facts),
        "## Configuration",
        _settings(facts.header.config) or "None.",
        "## Recipe",
        _settings(_told(facts.recipe)),
        *(("## Teachers", "\n".join(map(_teacher, facts.teachers))) if facts.teachers else ()),
        "## Made with",
        _settings(_versions(facts)),
    ]
    return "\n\n".join(parts) + "\n"


def _caution(facts: CardFacts) -> str:
    return (
        f"{facts.num_validation_clips:,} clips. The best epoch was chosen on them, so its figures are a little too good;"
        " of equally good epochs it is the latest. The test split was not looked at."
    )


def _what(facts: CardFacts, weights: dict[str, Any]) -> str:
    header, stored = facts.header, stored_numbers(weights)
    seconds = header.clip_samples / header.sample_rate_hz
    data = f"{facts.title} (`{header.manifest}`, revision {header.revision}, {facts.licence})"
    lines = [
        f"A network for keyword spotting: {seconds:g} s of audio at {header.sample_rate_hz:,} Hz in, one score per label out.",
        "",
        f"- architecture: `{header.baseline}`{f' ({facts.source})' if facts.source else ''}",
        f"- labels, in the order of the scores: {', '.join(f'`{label}`' for label in header.labels)}",
        f"- parameters: {stored.params:,} ({stored.weight_bytes:,} bytes), and {stored.batch_norm_statistics:,} running statistics",
        f"- front-end: {_line(header.front_end.model_dump(mode='json', exclude_none=True))}",
        f"- data: {data}, {facts.num_train_clips:,} clips for training, SHA-256 of `clips.csv` `{header.clips_sha256}`",
    ]
    return "\n".join(lines)


def _teacher(teacher: Teacher) -> str:
    header = teacher.header
    config = f" ({_line(header.config)})" if header.config else ""
    data = f"`{header.manifest}`, revision {header.revision}, SHA-256 of `clips.csv` `{header.clips_sha256}`"
    return (
        f"- `{header.baseline}`{config}, seed {header.seed}, trained on {data}; SHA-256 of its file `{teacher.sha256}`"
    )


def _told(recipe: Recipe) -> dict[str, Any]:
    """Leaves out the parts of augmentation that do nothing."""
    idle = flat(dataclasses.replace(recipe, augmentation=Augmentation()))
    return {
        key: value for key, value in flat(recipe).items() if not key.startswith("augmentation.") or value != idle[key]
    }


def _versions(facts: CardFacts) -> dict[str, Any]:
    precision = "32-bit numbers" if facts.options.precision == "32" else "mixed precision with bfloat16"
    return {
        "seed": facts.options.seed,
        "precision": precision,
        "kwsbench": __version__,
        "torch": torch.__version__,
    }


def _settings(values: dict[str, Any]) -> str:
    return "\n".join(f"- {key}: {_word(value)}" for key, value in values.items())


def _line(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_word(value)}" for key, value in values.items())


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " to ".join(map(str, value)) if len(value) == 2 else ", ".join(map(str, value)) or "none"
    return str(value)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
