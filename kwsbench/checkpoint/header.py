"""What every trained model says of itself: its baseline, configuration, labels, front-end, and how it was trained."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kwsbench import __version__
from kwsbench.front_end import FrontEnd
from kwsbench.manifest import Label, Manifest


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

    @classmethod
    def of_training(  # noqa: PLR0913
        cls,
        manifest: Manifest,
        *,
        baseline: str,
        config: Any,
        front_end: FrontEnd,
        seed: int,
        clips_sha256: str = "",
        **more: Any,
    ) -> Self:
        """Returns the header of a model for a benchmark.

        Args:
            manifest: The benchmark.
            baseline: Name of the baseline.
            config: An instance of the baseline's `Config`.
            front_end: From samples to features.
            seed: Seed of the training.
            clips_sha256: SHA-256 of the `clips.csv` that it was trained on; empty where it was not trained.
            more: Further fields of the class.
        """
        return cls(
            baseline=baseline,
            config=dataclasses.asdict(config),
            labels=manifest.labels,
            num_keywords=len(manifest.keywords),
            front_end=front_end,
            sample_rate_hz=manifest.sample_rate_hz,
            clip_samples=manifest.clip_samples,
            manifest=manifest.name,
            revision=manifest.revision,
            clips_sha256=clips_sha256,
            seed=seed,
            kwsbench_version=__version__,
            **more,
        )

    @model_validator(mode="after")
    def _labels_are_distinct(self) -> Self:
        if len(set(self.labels)) < len(self.labels) or self.num_keywords > len(self.labels):
            raise ValueError("a label appears twice, or there are fewer labels than keywords")
        return self

    @model_validator(mode="after")
    def _front_end_fits_the_clips(self) -> Self:
        self.front_end.require_clips_of(self.clip_samples)
        return self
