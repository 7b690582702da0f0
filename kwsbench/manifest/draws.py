"""How background clips are drawn, the same ones on every machine."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from kwsbench.manifest.fields import SPLITS, Label, RelativePath, Split, Table


class DrawUnknown(Table):
    """How clips of other words become one background label, the same ones on every machine.

    Of the clips in `folders`, each split takes ceil(`fraction` x its number of keyword clips), those whose
    SHA-256 of `kwsbench unknown:PATH`, read as a little-endian number, is lowest.
    """

    label: Label
    archive: RelativePath
    folders: tuple[RelativePath, ...] = Field(min_length=1)
    fraction: float = Field(gt=0)
    splits: tuple[Split, ...] = Field(default=SPLITS, min_length=1)


class DrawSilence(Table):
    """How stretches of background noise become one background label, the same ones on every machine.

    Each split has ceil(`fraction` x its number of keyword clips) stretches, cut from its own part of every noise
    file: the first 80 % of the time are for training, the next 10 % for validation, the last 10 % for the test, so
    that no sample is in two splits. File, start and gain come from the SHA-256 of `kwsbench silence:SPLIT:NUMBER`.
    """

    label: Label
    archive: RelativePath
    folder: RelativePath
    fraction: float = Field(gt=0)
    gain_min: float = Field(default=0.0, ge=0)
    gain_max: float = Field(default=1.0, gt=0, le=1)
    splits: tuple[Split, ...] = Field(default=SPLITS, min_length=1)

    @model_validator(mode="after")
    def _gain_goes_up(self) -> Self:
        if self.gain_min > self.gain_max:
            raise ValueError(f"gain_min {self.gain_min} is over gain_max {self.gain_max}")
        return self
