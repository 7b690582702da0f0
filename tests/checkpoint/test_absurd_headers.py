"""Headers of strangers that ask for absurd work: one message each, and none of the work."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.model_file import Format
from kwsbench.checkpoint.network import load_network
from kwsbench.errors import InputError
from kwsbench.features import extract, mel_filters
from kwsbench.front_end import FrontEnd
from tests.checkpoint.conftest import as_model, saved, small_network
from tests.memory import takes_at_most

LARGEST = FrontEnd(kind="log_mel", window_samples=2**15, hop_samples=2**11, n_fft=2**15, num_mels=256)
"""Makes 256 x 1,024 numbers of 2^21 samples, and transforms half of what it may."""


def _loaded(header: ModelHeader, change: Callable[[dict[str, Any]], Any]) -> ModelHeader:
    fields = json.loads(header.model_dump_json()) | {"state_dict": dict(small_network().state_dict())}
    change(fields)
    return load_network(as_model(saved(fields), Format.KWSBENCH)).header


@pytest.mark.parametrize(
    ("front_end", "clip_samples", "says"),
    [
        ({"n_fft": 2**16}, 2**20, "front_end.n_fft: input should be less than or equal to 32768"),
        ({"n_fft": 10**30}, 2**20, "front_end.n_fft"),
        ({"window_samples": 2**16, "n_fft": 2**16}, 2**20, "front_end.window_samples"),
        ({"num_mels": 257}, 16_000, "front_end.num_mels: input should be less than or equal to 256"),
        ({"n_fft": 2**15, "num_mels": 1024}, 2**20, "front_end.num_mels"),
        ({"n_fft": 3, "window_samples": 3}, 16_000, "mel bands, more than its n_fft 3"),
        ({}, 399, "and a clip has 399 samples"),
        ({}, 2**22 + 1, "clips of 4,194,305 samples are too long, expected at most 4,194,304"),
        ({}, 10**12, "clip_samples"),
        ({"hop_samples": 1}, 2**17, "makes 4 x 131,073 numbers of a clip, expected at most 262,144"),
        ({"hop_samples": 1, "num_mels": 1}, 2**20, "makes 1 x 1,048,577 numbers of a clip"),
        ({"hop_samples": 16, "n_fft": 2**15}, 2**16, "makes 4,097 windows of 32,768 samples of a clip"),
        ({"hop_samples": 0}, 16_000, "front_end.hop_samples"),
    ],
)
def test_an_absurd_front_end_is_one_message(
    front_end: dict[str, int], clip_samples: int, says: str, header: ModelHeader
) -> None:
    """Transforms, bands, clips and frames beyond any keyword spotter are refused with what was found."""

    def change(fields: dict[str, Any]) -> None:
        fields["front_end"] |= front_end
        fields["clip_samples"] = clip_samples

    with pytest.raises(InputError) as caught:
        _loaded(header, change)
    assert says in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("seconds", "rate_hz", "bands"), [(1, 8_000, 40), (1, 48_000, 128), (30, 16_000, 80), (60, 16_000, 40)]
)
def test_what_people_use_is_let_pass(seconds: int, rate_hz: int, bands: int, header: ModelHeader) -> None:
    """Clips of a minute, studio rates and many bands are no attack."""
    window = rate_hz // 25
    settings = {"window_samples": window, "n_fft": window, "hop_samples": rate_hz // 100, "num_mels": bands}

    def change(fields: dict[str, Any]) -> None:
        fields["front_end"] |= settings
        fields |= {"sample_rate_hz": rate_hz, "clip_samples": seconds * rate_hz}

    assert _loaded(header, change).front_end.num_mels == bands


def test_the_largest_front_end_takes_little_memory() -> None:
    """At its bounds a front-end takes a tenth of a gigabyte for its bands, and not much more for a clip."""
    with takes_at_most(150e6):
        mel_filters(LARGEST, 48_000)
    LARGEST.require_clips_of(2**21 - 1)
    with takes_at_most(200e6):
        features = extract(np.zeros((1, 2**21 - 1), np.float32), LARGEST, 48_000)
    assert features.shape == (1, 256, 1_024)


def test_a_hundred_thousand_labels_are_read_quickly_or_refused(header: ModelHeader) -> None:
    """So many labels are a long list and nothing worse; twice the same one among them is found."""
    labels = [f"word{number}" for number in range(100_000)]
    assert len(_loaded(header, lambda fields: fields.update(labels=labels)).labels) == 100_000
    with pytest.raises(InputError, match="a label appears twice"):
        _loaded(header, lambda fields: fields.update(labels=[*labels, "word7"]))
