"""How a network is trained: optimiser, schedule, length, augmentation. Every baseline in torch states its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Literal

Optimiser = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "cosine", "steps"]
Range = tuple[float, float]

_LIMITS = {  # beyond these, clips are no speech any more
    "speed": (0.5, 2.0),
    "pitch_semitones": (-12.0, 12.0),
    "reverberation_s": (0.0, 10.0),
    "noise_snr_db": (-100.0, 100.0),
    "gain_db": (-60.0, 60.0),
}


@dataclass(frozen=True)
class Augmentation:
    """What is done to the clips of a batch before the network sees them; the defaults do nothing.

    Each part is applied to a clip with its probability, in the order in which they stand here.

    Attributes:
        shift_s: Most that a clip is shifted in time, either way, with zeros in the place of what left.
        shift_probability: Share of clips that are shifted.
        speed: Least and most speed; the pitch changes with it (Ko et al., "Audio augmentation for speech recognition",
            Interspeech 2015).
        speed_probability: Share of clips.
        pitch_semitones: Least and most change of pitch, at the same speed.
        pitch_probability: Share of clips.
        reverberation_s: Least and most reverberation time (T60) of a synthetic room, 0 for none.
        reverberation_probability: Share of clips.
        noise_snr_db: Least and most signal-to-noise ratio of the background noise that is added.
        noise_probability: Share of clips that background noise is added to.
        gain_db: Least and most gain.
        gain_probability: Share of clips.
        time_masks: Masks over frames (SpecAugment; Park et al., Interspeech 2019).
        time_mask_s: Longest of them.
        frequency_masks: Masks over coefficients.
        frequency_mask_bands: Widest of them.
        roll_s: Most that a spectrogram is rolled in time, either way.

    Raises:
        ValueError: A setting is out of its range, or a range ends before it begins.
    """

    shift_s: float = 0.0
    shift_probability: float = 1.0
    speed: Range = (1.0, 1.0)
    speed_probability: float = 1.0
    pitch_semitones: Range = (0.0, 0.0)
    pitch_probability: float = 1.0
    reverberation_s: Range = (0.0, 0.0)
    reverberation_probability: float = 1.0
    noise_snr_db: Range = (0.0, 0.0)
    noise_probability: float = 0.0
    gain_db: Range = (0.0, 0.0)
    gain_probability: float = 1.0
    time_masks: int = 0
    time_mask_s: float = 0.0
    frequency_masks: int = 0
    frequency_mask_bands: int = 0
    roll_s: float = 0.0

    def __post_init__(self) -> None:
        for sentence in self._problems():
            raise ValueError(sentence)

    def _problems(self) -> Iterator[str]:
        for name, value in ((each.name, getattr(self, each.name)) for each in fields(self)):
            if name in _LIMITS:
                yield from _problems_of_range(name, value)
            elif name.endswith("_probability") and not 0 <= value <= 1:
                yield f"{name} is {value}, not between 0 and 1"
            elif not 0 <= value < math.inf:
                yield f"{name} is {value}, not 0 or more"
            elif name.endswith(("masks", "bands")) and value != int(value):
                yield f"{name} is {value}, not a whole number"


def _problems_of_range(name: str, value: Range) -> Iterator[str]:
    least, most = _LIMITS[name]
    if len(value) != 2:
        yield f"{name} is {value}, not a least and a most"
    elif not all(least <= end <= most for end in value):
        yield f"{name} is {value}, not between {least:g} and {most:g}"
    elif value[0] > value[1]:
        yield f"{name} is {value}, which ends before it begins"


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Clips in a batch; what is left of an epoch and does not fill one is left out of it.
        optimiser: As torch has it.
        learning_rate: The highest.
        momentum: Of SGD.
        weight_decay: L2 penalty on all weights (`sgd`, `adam`), or decoupled (`adamw`).
        schedule: What becomes of the learning rate after the warm-up: it stays, falls by a cosine to 0, or is divided
            by ten at each of `step_epochs`.
        warmup_epochs: Epochs, or parts of one, in which the learning rate rises from 0 in a line.
        step_epochs: For `steps`: shares of `epochs`, such as 0.5 and 0.75.
        label_smoothing: Share of the target that is spread over all labels.
        clip_norm: Largest norm of the gradient; 0 for none.
        patience_epochs: Stop when the validation accuracy has not risen for so many epochs; 0 for a fixed length.
        outputs_log_probabilities: The network ends in a log-softmax.
        augmentation: What is done to the clips.
    """

    epochs: int
    batch_size: int = 100
    optimiser: Optimiser = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Schedule = "cosine"
    warmup_epochs: float = 0.0
    step_epochs: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    clip_norm: float = 0.0
    patience_epochs: int = 0
    outputs_log_probabilities: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
