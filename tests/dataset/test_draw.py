"""The draws of other words and silence: the same everywhere, in proportion, and never shared by two splits."""

from __future__ import annotations

import hashlib
import math
from itertools import combinations
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kwsbench.dataset.draw import Silence, draw_silence, draw_unknown, num_to_draw
from kwsbench.errors import InputError
from kwsbench.manifest import SPLITS, DrawSilence, Split

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200, database=None)

NOISE = {"_background_noise_/rain.wav": 960_000, "_background_noise_/street.wav": 1_500_001}


def _draw(noise: dict[str, int], split: Split, count: int, clip_samples: int, **gains: float) -> list[Silence]:
    rule = DrawSilence(label="_silence_", archive="words", folder="_background_noise_", fraction=0.1, **gains)
    return draw_silence(noise, rule, split, count, clip_samples)


@pytest.mark.parametrize(
    ("fraction", "clips", "count"),
    [
        (0.1, 18_538, 1_854),
        (0.1, 30_769, 3_077),
        (0.1, 30, 3),
        (0.1, 31, 4),
        (0.07, 100, 7),
        (0.125, 8, 1),
        (0.1, 0, 0),
        (2.0, 3, 6),
    ],
)
def test_the_number_to_draw_is_rounded_up(fraction: float, clips: int, count: int) -> None:
    """A fraction that comes out even is not pushed up by the rounding of binary numbers."""
    assert num_to_draw(fraction, clips) == count


@PROPERTY
@given(st.integers(1, 1_000), st.integers(0, 10**6))
def test_the_number_to_draw_is_exact(thousandths: int, clips: int) -> None:
    """The result is the ceiling of the exact product, for every fraction of three digits."""
    assert num_to_draw(thousandths / 1_000, clips) == -(-thousandths * clips // 1_000)


@PROPERTY
@given(st.lists(st.text("abc/", min_size=1), unique=True), st.integers(0, 20), st.randoms(use_true_random=False))
def test_the_draw_of_words_does_not_depend_on_their_order(paths: list[str], count: int, random: Random) -> None:
    """Any order of the same paths gives the same sorted draw, of as many as were asked for or there are."""
    drawn = draw_unknown(paths, count)
    shuffled = list(paths)
    random.shuffle(shuffled)
    assert draw_unknown(shuffled, count) == drawn == sorted(drawn)
    assert len(drawn) == min(count, len(paths))
    assert set(drawn) <= set(paths)


@PROPERTY
@given(st.lists(st.text("abc", min_size=1), unique=True, min_size=1), st.integers(0, 20))
def test_a_larger_draw_of_words_holds_the_smaller(paths: list[str], count: int) -> None:
    """Drawing one more adds one clip and takes none away."""
    assert set(draw_unknown(paths, count)) <= set(draw_unknown(paths, count + 1))


def test_the_draw_of_words_is_pinned() -> None:
    """The draw is part of the benchmark: these are the clips, in this version and every later one."""
    paths = [f"{word}/{number:08x}_nohash_0.wav" for word in ("bed", "cat") for number in range(4)]
    assert draw_unknown(paths, 3) == [
        "bed/00000000_nohash_0.wav",
        "bed/00000003_nohash_0.wav",
        "cat/00000002_nohash_0.wav",
    ]


@PROPERTY
@given(st.lists(st.text("abc/", min_size=1), unique=True), st.integers(0, 20))
def test_the_draw_of_words_is_by_the_hash_of_their_paths(paths: list[str], count: int) -> None:
    """The clips are those with the lowest SHA-256 of `kwsbench unknown:PATH`, read as a little-endian number."""
    hashes = {path: hashlib.sha256(b"kwsbench unknown:" + path.encode()).digest()[::-1] for path in paths}
    lowest = sorted(hashes.values())[:count]
    assert draw_unknown(paths, count) == sorted(path for path in paths if hashes[path] in lowest)


def test_the_draw_of_silence_is_pinned() -> None:
    """The stretches and gains are part of the benchmark too."""
    assert _draw(NOISE, "validation", 2, 16_000) == [
        Silence("_background_noise_/rain.wav", 826_076, 0.7913),
        Silence("_background_noise_/street.wav", 1_332_882, 0.1681),
    ]


@PROPERTY
@given(
    st.lists(st.integers(1, 5_000), min_size=1, max_size=4),
    st.integers(1, 400),
    st.integers(0, 12),
)
def test_no_sample_of_noise_is_in_two_splits(lengths: list[int], clip_samples: int, count: int) -> None:
    """The stretches of each split lie inside their file, and no two splits share a sample of it."""
    noise = {f"{number}.wav": length for number, length in enumerate(lengths)}
    heard: dict[str, set[tuple[str, int]]] = {}
    for split in SPLITS:
        try:
            drawn = _draw(noise, split, count, clip_samples)
        except InputError:
            continue
        assert len({(silence.path, silence.start_sample) for silence in drawn}) == count
        for silence in drawn:
            assert 0 <= silence.start_sample <= noise[silence.path] - clip_samples
            samples = range(silence.start_sample, silence.start_sample + clip_samples)
            heard.setdefault(split, set()).update((silence.path, sample) for sample in samples)
    for one, other in combinations(heard.values(), 2):
        assert not one & other


@PROPERTY
@given(st.integers(1, 30), st.floats(0, 1), st.floats(0, 1))
def test_gains_lie_in_their_range(count: int, one: float, other: float) -> None:
    """Every gain lies between the two that the manifest names, as far as four digits tell."""
    low, high = sorted((one, other))
    assume(high > 0)
    drawn = _draw(NOISE, "train", count, 16_000, gain_min=low, gain_max=high)
    assert all(low - 5e-5 <= silence.gain <= high + 5e-5 for silence in drawn)


def test_the_order_of_the_noise_files_is_irrelevant() -> None:
    """Another order of the folder gives the same stretches, sorted by file and start."""
    backwards = dict(reversed(NOISE.items()))
    drawn = _draw(NOISE, "train", 50, 16_000)
    assert _draw(backwards, "train", 50, 16_000) == drawn
    assert drawn == sorted(drawn, key=lambda silence: (silence.path, silence.start_sample))


def test_splits_and_files_all_have_their_share() -> None:
    """Stretches come from all files, and each split has its own."""
    for split in SPLITS:
        assert {silence.path for silence in _draw(NOISE, split, 50, 16_000)} == set(NOISE)


@pytest.mark.parametrize(("num_samples", "most"), [(159_999, 0), (160_000, 1), (160_010, 2), (160_090, 10)])
def test_noise_that_is_too_short_is_refused(num_samples: int, most: int) -> None:
    """A tenth of the noise is for validation: as many different clips as fit there can be drawn, and no more."""
    starts = math.floor(0.9 * num_samples) - math.ceil(0.8 * num_samples) - 16_000 + 1
    assert max(0, starts) == most
    assert len(_draw({"rain.wav": num_samples}, "validation", most, 16_000)) == most
    with pytest.raises(InputError, match=f"too short for {most + 1} different clips of the split validation"):
        _draw({"rain.wav": num_samples}, "validation", most + 1, 16_000)
