"""Which settings of augmentation there can be."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kwsbench.recipe import Augmentation


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("shift_s", -0.1, "shift_s is -0.1, not 0 or more"),
        ("shift_s", math.nan, "shift_s is nan, not 0 or more"),
        ("roll_s", math.inf, "roll_s is inf, not 0 or more"),
        ("noise_probability", 1.5, "noise_probability is 1.5, not between 0 and 1"),
        ("gain_probability", math.nan, "gain_probability is nan, not between 0 and 1"),
        ("speed", (0.0, 1.0), r"speed is \(0.0, 1.0\), not between 0.5 and 2"),
        ("speed", (1.1, 0.9), r"speed is \(1.1, 0.9\), which ends before it begins"),
        ("pitch_semitones", (-30.0, 0.0), r"pitch_semitones is .*, not between -12 and 12"),
        ("reverberation_s", (-1.0, 0.0), "reverberation_s is .*, not between 0 and 10"),
        ("noise_snr_db", (0.0, math.inf), "noise_snr_db is .*, not between -100 and 100"),
        ("gain_db", (math.nan, 0.0), "gain_db is .*, not between -60 and 60"),
        ("gain_db", (0.0,), r"gain_db is \(0.0,\), not a least and a most"),
        ("time_masks", 1.5, "time_masks is 1.5, not a whole number"),
        ("frequency_mask_bands", -1, "frequency_mask_bands is -1, not 0 or more"),
    ],
)
def test_a_setting_out_of_its_range_is_named(name: str, value: Any, sentence: str) -> None:
    """A setting that makes no sense is refused with its name, its value and what it may be."""
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        Augmentation(**{name: value})


def test_ends_of_ranges_are_inside() -> None:
    """The limits themselves can be set, and a range may be a single value."""
    limits = Augmentation(speed=(0.5, 2.0), pitch_semitones=(-12.0, 12.0), gain_db=(3.0, 3.0), noise_probability=1.0)
    assert limits.speed == (0.5, 2.0)
