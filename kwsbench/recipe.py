"""How a network is trained: optimiser, schedule, length, augmentation, distillation; each baseline in torch has its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

Optimiser = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "cosine", "steps"]
DistillationForm = Literal["hinton", "inverse_square"]
Range = tuple[float, float]

_PARTS_OF_SAMPLES = ("shift_s", "speed", "pitch_semitones", "reverberation_s", "noise_probability", "gain_db")
_COLDEST, _HOTTEST = 0.1, 100.0

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

    @property
    def changes_samples(self) -> bool:
        """Whether a part that works on samples is set to do something; the others work on spectrograms."""
        return any(getattr(self, name) != getattr(Augmentation, name) for name in _PARTS_OF_SAMPLES)

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
class Distillation:
    """How a network learns from teachers beside the labels: it is to give the probabilities that they give.

    With the temperature T, the weight w, the cross-entropy H(labels) between labels and scores, and the cross-entropy
    H(teachers, T) between the mean of the teachers' softmax(scores / T) and the student's softmax(scores / T):

    - `hinton`: w T^2 H(teachers, T) + (1 - w) H(labels). Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural
      Network", arXiv:1503.02531: the softmax is equation 1, the weighted mean and the factor T^2 are in section 2, which
      also finds a small weight of the labels best; equation 4 shows why the factor: the gradient of the soft part falls
      with 1/T^2, so that without it another temperature would be another weight.
    - `inverse_square`: w H(teachers, T) + (1 - w) H(labels) / T^2, which keeps the same balance by making the part of
      the labels small; it is `hinton` divided by T^2, a shorter step for SGD and nearly the same one for Adam. It
      stands for the weighting with 1/T^2 of Tucker et al., "Model compression applied to small-footprint keyword
      spotting", Interspeech 2016 (an ensemble as teacher): from memory, not compared with the text of the paper, which
      may normalise the two parts otherwise.

    Label smoothing is part of H(labels) alone. With a weight of 0 the loss is the plain one, and no teacher is asked.

    Attributes:
        temperature: T; from 0.1 to 100. The higher, the more the student learns of labels that are not the right one.
            For their smallest student, Hinton et al. found 2.5 to 4 best.
        weight: Share w of the teachers, from 0 to 1; the rest is that of the labels.
        form: Which of the two.

    Raises:
        ValueError: A setting is out of its range.
    """

    temperature: float = 4.0
    weight: float = 0.9
    form: DistillationForm = "hinton"

    def __post_init__(self) -> None:
        if not _COLDEST <= self.temperature <= _HOTTEST:
            raise ValueError(f"temperature is {self.temperature}, not between {_COLDEST:g} and {_HOTTEST:g}")
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight is {self.weight}, not between 0 and 1")
        if self.form not in get_args(DistillationForm):
            raise ValueError(f"form is {self.form!r}, not one of {', '.join(get_args(DistillationForm))}")


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
        schedule: What becomes of the learning rate after the warm-up: it stays, falls by a cosine to 0, or is multiplied
            by `step_factor` at each of `step_epochs`.
        warmup_epochs: Epochs, or parts of one, in which the learning rate rises from 0 in a line.
        step_epochs: For `steps`: shares of `epochs`, such as 0.5 and 0.75.
        step_factor: For `steps`: what the learning rate is multiplied by, more than 0 and less than 1.
        label_smoothing: Share of the target that is spread over all labels.
        clip_norm: Largest norm of the gradient; 0 for none.
        patience_epochs: Stop when the validation accuracy has not risen for so many epochs; 0 for a fixed length.
        outputs_log_probabilities: The network ends in a log-softmax.
        augmentation: What is done to the clips.
        distillation: How it learns from teachers, which the run names; None to learn from the labels alone.
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
    step_factor: float = 0.1
    label_smoothing: float = 0.0
    clip_norm: float = 0.0
    patience_epochs: int = 0
    outputs_log_probabilities: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    distillation: Distillation | None = None
