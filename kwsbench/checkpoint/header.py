"""What every trained model says of itself: its baseline, configuration, labels, front-end, and how it was trained."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kwsbench.front_end import FrontEnd
from kwsbench.manifest import Label


class ModelHeader(BaseModel):
    """What a model is and how it was made.

    Attributes:
        format: Version of this header.
        baseline: Name of the baseline file that it is an instance of.
        config: Its configuration, as the fields of the baseline's `Config`.
        labels: Its labels in the order of its scores, keywords first.
        num_keywords: How many of them are keywords.
        front_end: From samples to features.
        sample_rate_hz: The rate of the audio that it hears.
        clip_samples: The length of the audio that it hears.
        manifest: Name of the manifest that it was trained on.
        revision: Revision of that manifest.
        clips_sha256: SHA-256 of the `clips.csv` that it was trained on.
        seed: Seed of the training.
        kwsbench_version: The version that trained it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    format: Literal[1] = 1
    baseline: str
    config: dict[str, int | float | str | bool]
    labels: tuple[Label, ...] = Field(min_length=2)
    num_keywords: int = Field(gt=0)
    front_end: FrontEnd
    sample_rate_hz: int = Field(gt=0, le=768_000)
    clip_samples: int = Field(gt=0, le=600 * 768_000)
    manifest: str
    revision: int
    clips_sha256: str
    seed: int
    kwsbench_version: str

    @model_validator(mode="after")
    def _labels_are_distinct(self) -> Self:
        if len(set(self.labels)) < len(self.labels) or self.num_keywords > len(self.labels):
            raise ValueError("a label appears twice, or there are fewer labels than keywords")
        return self

    @model_validator(mode="after")
    def _front_end_fits_the_clips(self) -> Self:
        if not self.front_end.num_mels <= self.front_end.n_fft <= self.clip_samples:
            raise ValueError("the front-end is too large for its clips")
        return self
