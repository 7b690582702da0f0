"""What is asked of a model: the limits, and what is known of its input."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwsbench.budget.limits import FoundLimits, fill_from_training
from kwsbench.budget.probes import feature_probes, waveforms
from kwsbench.budget.report import Limits
from kwsbench.checkpoint.header import ModelHeader
from kwsbench.dataset.places import places
from kwsbench.features import extract
from kwsbench.front_end import FrontEnd

Floats = NDArray[np.float32]

_SHORTEST_WAVEFORM = 2_000  # samples: a longer last axis with nothing beside it is sound, not features
_USUAL_RATE_HZ = 16_000
_NUM_CLIPS = 4


@dataclass(frozen=True)
class Question:
    """What is asked of a model, and what is known of its input; None where it is not.

    Attributes:
        limits: The most that it may have, and where that comes from.
        arch: The architecture of a file that holds weights only, `FILE.py:CALLABLE`.
        input_shape: Shape of one input, batch first.
        input_seconds: How much audio that is.
        front_end: From samples to the input.
        sample_rate_hz: Rate of the audio.
        clip_samples: Length of the audio.
        clips: Real clips to probe with, each of `clip_samples` samples in -1..1.
        baselines: Folder of the baselines that a kwsbench checkpoint may name; None for the shipped ones.
    """

    limits: FoundLimits = dataclasses.field(default_factory=lambda: FoundLimits(Limits()))
    arch: str | None = None
    input_shape: tuple[int, ...] | None = None
    input_seconds: float | None = None
    front_end: FrontEnd | None = None
    sample_rate_hz: int | None = None
    clip_samples: int | None = None
    clips: Sequence[Floats] = ()
    baselines: Path | None = None

    def of(self, header: ModelHeader | None) -> Question:
        """Returns the question with what the model says of its own input, which beats what the manifest says."""
        if header is None:
            return self
        return dataclasses.replace(
            self,
            limits=fill_from_training(self.limits, header.manifest),
            front_end=header.front_end,
            sample_rate_hz=header.sample_rate_hz,
            clip_samples=header.clip_samples,
            clips=self._clips_for(header),
        )

    @property
    def seconds(self) -> float | None:
        """How much audio one input is, where that is known."""
        if self.input_seconds is not None or self.clip_samples is None or self.sample_rate_hz is None:
            return self.input_seconds
        return self.clip_samples / self.sample_rate_hz

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of one input, batch first: the one that was given, else what the front-end makes of a clip."""
        if self.input_shape is not None or self.front_end is None or self.clip_samples is None:
            return self.input_shape
        return 1, *self.front_end.shape(self.clip_samples)

    def probes(self) -> Mapping[str, Floats]:
        """Returns inputs by what they are: real clips, silence, noise, loud sound, as far as the input is understood.

        `shape` must be known.
        """
        shape = self.shape or ()
        rate_hz = self.sample_rate_hz or _USUAL_RATE_HZ
        if shape[-1] >= _SHORTEST_WAVEFORM and set(shape[:-1]) == {1}:
            clips = self.clips if self.clip_samples == shape[-1] else ()
            return {name: sound.reshape(shape) for name, sound in waveforms(rate_hz, shape[-1], clips).items()}
        return self._heard(shape, rate_hz) or feature_probes(shape)

    def _heard(self, shape: tuple[int, ...], rate_hz: int) -> dict[str, Floats] | None:
        if self.front_end is None or self.clip_samples is None:
            return None
        sounds = waveforms(rate_hz, self.clip_samples, self.clips)
        inputs = {name: extract(sound[None], self.front_end, rate_hz) for name, sound in sounds.items()}
        if any(one.size != np.prod(shape) for one in inputs.values()):
            return None
        return {name: one.reshape(shape) for name, one in inputs.items()}

    def _clips_for(self, header: ModelHeader) -> Sequence[Floats]:
        if not self.clips:
            return _prepared_clips(header)
        same_audio = (self.sample_rate_hz, self.clip_samples) == (header.sample_rate_hz, header.clip_samples)
        return self.clips if same_audio else ()


def _prepared_clips(header: ModelHeader) -> Sequence[Floats]:
    """A few clips of the data set that a model was trained on, where it is prepared here."""
    if not places(None).is_prepared(header.manifest):
        return ()
    from kwsbench.dataset.few_clips import few_clips_if_prepared

    clips = few_clips_if_prepared(header.manifest, _NUM_CLIPS)
    return () if clips is None or clips.shape[1] != header.clip_samples else list(clips)
