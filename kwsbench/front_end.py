"""Settings of a front-end: from samples to log-mel energies or MFCC, as a manifest or a checkpoint states them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# No front-end for keywords comes near these, and an absurd one in a stranger's model must not fill the memory.
_MAX_SAMPLES = 2**15  # 0.7 s at 48 kHz
_MAX_MELS = 256
_MAX_CLIP_SAMPLES = 2**22  # 87 s at 48 kHz
_MAX_TRANSFORMED = 2**26  # samples in all frames of a clip: a second of work
_MAX_NUMBERS = 2**18  # of a clip: a minute of 40 bands every 10 ms


class FrontEnd(BaseModel):
    """Settings of a log-mel or MFCC front-end; `kwsbench.features` computes it.

    Attributes:
        kind: `log_mel`, or `mfcc` (a cosine transform of the log-mel energies).
        window_samples: Length of the Hann window.
        hop_samples: Distance between frames.
        n_fft: Length of the Fourier transform, at least `window_samples`.
        num_mels: Number of mel bands.
        f_min_hz: Lower edge of the lowest band.
        f_max_hz: Upper edge of the highest band; half the sample rate where absent.
        mel_scale: `htk` (2595 log10(1 + f/700)) or `slaney` (linear below 1 kHz).
        mel_norm: `slaney` divides each band by its width; `none` leaves peaks at 1.
        power: Exponent of the magnitude spectrum: 1 or 2.
        center: Frames are centred on multiples of the hop, with the edges reflected.
        log: `ln` (natural logarithm), `log10`, or `db` (10 log10 without a dynamic range limit).
        log_floor: Energies are clamped to this value before the logarithm.
        num_mfcc: Number of coefficients of an `mfcc` front-end (orthonormal DCT-II).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    kind: Literal["log_mel", "mfcc"]
    window_samples: int = Field(gt=0, le=_MAX_SAMPLES)
    hop_samples: int = Field(gt=0, le=_MAX_SAMPLES)
    n_fft: int = Field(gt=0, le=_MAX_SAMPLES)
    num_mels: int = Field(gt=0, le=_MAX_MELS)
    f_min_hz: float = Field(default=0.0, ge=0)
    f_max_hz: float | None = Field(default=None, gt=0)
    mel_scale: Literal["htk", "slaney"] = "htk"
    mel_norm: Literal["none", "slaney"] = "none"
    power: Literal[1, 2] = 2
    center: bool = True
    log: Literal["ln", "log10", "db"] = "ln"
    log_floor: float = Field(default=1e-9, gt=0)
    num_mfcc: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.window_samples > self.n_fft:
            raise ValueError("window_samples is over n_fft")
        if (self.kind == "mfcc") != (self.num_mfcc is not None):
            raise ValueError("num_mfcc goes with kind = 'mfcc', and only with it")
        if self.num_mfcc is not None and self.num_mfcc > self.num_mels:
            raise ValueError("num_mfcc is over num_mels")
        if self.f_max_hz is not None and self.f_max_hz <= self.f_min_hz:
            raise ValueError("f_max_hz is not over f_min_hz")
        return self

    def with_mfcc(self, num_mfcc: int) -> FrontEnd:
        """Returns the MFCC front-end with these settings and `num_mfcc` coefficients.

        Raises:
            ValueError: `num_mfcc` is not between 1 and `num_mels`.
        """
        return FrontEnd.model_validate(self.model_dump() | {"kind": "mfcc", "num_mfcc": num_mfcc})

    def num_frames(self, num_samples: int) -> int:
        """Returns how many frames `num_samples` samples give; 0 where they are too few for one."""
        if self.center:
            return 1 + num_samples // self.hop_samples
        return max(0, 1 + (num_samples - self.n_fft) // self.hop_samples)

    @property
    def fewest_samples(self) -> int:
        """Samples that a clip must have at least: for one frame, or for the reflection at its edges."""
        return (self.n_fft + 1) // 2 + 1 if self.center else self.n_fft  # a reflection does not repeat the edge itself

    def shape(self, num_samples: int) -> tuple[int, int]:
        """Returns what it makes of `num_samples` samples: coefficients, frames."""
        return self.num_mfcc or self.num_mels, self.num_frames(num_samples)

    def require_clips_of(self, num_samples: int) -> None:
        """Raises ValueError where clips of `num_samples` samples are too short for it, or would cost absurdly much."""
        if self.n_fft > num_samples:
            raise ValueError(f"the front-end has n_fft {self.n_fft}, and a clip has {num_samples} samples")
        if self.num_mels > self.n_fft:
            raise ValueError(f"the front-end has {self.num_mels} mel bands, more than its n_fft {self.n_fft}")
        if num_samples > _MAX_CLIP_SAMPLES:
            raise ValueError(f"clips of {num_samples:,} samples are too long, expected at most {_MAX_CLIP_SAMPLES:,}")
        frames = self.num_frames(num_samples)
        if frames * self.num_mels > _MAX_NUMBERS:
            made = f"{self.num_mels:,} x {frames:,} numbers"
            raise ValueError(f"the front-end makes {made} of a clip, expected at most {_MAX_NUMBERS:,}")
        if frames * self.n_fft > _MAX_TRANSFORMED:
            made = f"{frames:,} windows of {self.n_fft:,} samples"
            raise ValueError(f"the front-end makes {made} of a clip, expected at most {_MAX_TRANSFORMED:,} samples")
