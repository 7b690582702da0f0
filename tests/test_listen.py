"""From a stream to alarms: against a slow oracle, however the stream is cut, and for files of every kind."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly

from kwsbench.catalogue import find_manifest
from kwsbench.dataset.audio import read_any_audio
from kwsbench.errors import InputError
from kwsbench.listen import alarms, microphone, sound_files
from kwsbench.listen.alarms import Alarm, Reading, Rules, listen, score_with
from kwsbench.listen.resampling import resampled
from kwsbench.listen.sound_files import check_sound_file, stream_file
from kwsbench.predict import load_model
from tests.checkpoints import checkpoint_of, write_checkpoint
from tests.memory import takes_at_most

RULES = Rules(("yes", "no"), window_samples=4, shift_samples=2, smooth=2, threshold=0.5, refractory_samples=5)


def _three_scores(windows: NDArray[np.float32]) -> NDArray[np.float64]:
    """A model whose scores of a window depend on all of its samples, on their order, and on nothing else."""
    weights = np.sin(np.arange(windows.shape[1])[:, None] * [1.0, 2.0, 3.0])
    powers = np.exp(np.stack([(window.astype(np.float64)[:, None] * weights).sum(axis=0) for window in windows]))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _oracle(samples: NDArray[np.float32], score: Any, rules: Rules) -> tuple[list[int], NDArray[Any], list[Alarm]]:
    """Every window on its own, from the whole stream: where they end, the smoothed scores, the alarms."""
    starts = [0] if len(samples) else []
    while starts and starts[-1] + rules.window_samples < len(samples):
        starts.append(starts[-1] + rules.shift_samples)
    padded = np.concatenate([samples, np.zeros(rules.window_samples, np.float32)])
    ends = [min(start + rules.window_samples, len(samples)) for start in starts]
    single = [score(padded[start : start + rules.window_samples][None])[0] for start in starts]
    smoothed = np.array([np.mean(single[max(0, k - rules.smooth + 1) : k + 1], axis=0) for k in range(len(single))])
    raised: list[Alarm] = []
    for end, scores in zip(ends, smoothed, strict=True):
        for code, keyword in enumerate(rules.keywords):
            earlier = [alarm.end_sample for alarm in raised if alarm.keyword == keyword]
            if scores[code] >= rules.threshold and all(end - one >= rules.refractory_samples for one in earlier):
                raised.append(Alarm(end, keyword, float(scores[code])))
    return ends, smoothed, raised


def _cut(samples: NDArray[np.float32], cuts: list[int]) -> list[NDArray[np.float32]]:
    return np.split(samples, sorted(cut % (len(samples) + 1) for cut in cuts))


def _alarms(readings: list[Reading]) -> list[Alarm]:
    return [alarm for reading in readings for alarm in reading.alarms]


@st.composite
def _rules(draw: st.DrawFn) -> Rules:
    window = draw(st.integers(1, 12))
    shift = draw(st.integers(1, window))
    return Rules(("yes", "no"), window, shift, draw(st.integers(1, 4)), draw(st.floats(0, 1)), draw(st.integers(0, 30)))


@given(_rules(), st.lists(st.floats(-1, 1, width=16), max_size=80), st.lists(st.integers(0, 80), max_size=12))
def test_alarms_are_those_of_the_oracle_however_the_stream_is_cut(
    rules: Rules, values: list[float], cuts: list[int]
) -> None:
    """Windows, smoothed scores and alarms are bit for bit those of every window scored on its own."""
    samples = np.array(values, np.float32)
    readings = list(listen(_cut(samples, cuts), _three_scores, rules))
    ends, smoothed, raised = _oracle(samples, _three_scores, rules)
    assert [reading.end_sample for reading in readings] == ends
    assert np.array_equal(np.array([reading.scores for reading in readings]), smoothed)
    assert _alarms(readings) == raised


def test_few_windows_at_a_time_are_scored_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long block is scored in parts, with the same result."""
    samples = np.random.default_rng(0).normal(size=500).astype(np.float32)
    at_once = list(listen([samples], _three_scores, RULES))
    sizes = []

    def score(windows: NDArray[np.float32]) -> NDArray[np.float64]:
        sizes.append(len(windows))
        return _three_scores(windows)

    monkeypatch.setattr(alarms, "_SAMPLES_AT_ONCE", 28)
    assert _alarms(list(listen([samples], score, RULES))) == _alarms(at_once)
    assert max(sizes) == 7


@pytest.mark.parametrize("name", ["conv1d_sber", "bc_resnet_1"])
def test_a_real_model_gives_each_window_the_scores_of_predict(name: str, tmp_path: Path) -> None:
    """Scores and alarms of a checkpoint are those of its windows as clips, to the rounding of a batch."""
    model = load_model(write_checkpoint(tmp_path / "model.pt", name))
    samples = np.random.default_rng(1).normal(scale=0.1, size=40_000).astype(np.float32)
    samples[12_000:30_000] *= np.sin(np.arange(18_000) / 5).astype(np.float32)
    base = Rules.of_model(model.header, threshold=0)
    _, smoothed, _ = _oracle(samples, score_with(model), base)
    of_keywords = np.unique(smoothed[:, : len(base.keywords)])
    gap = np.diff(of_keywords)[len(of_keywords) // 2 :].argmax() + len(of_keywords) // 2
    rules = dataclasses.replace(base, threshold=float(of_keywords[gap : gap + 2].mean()), refractory_samples=3_200)
    readings = list(listen(_cut(samples, [1, 9_000, 31_111]), score_with(model), rules))
    ends, smoothed, raised = _oracle(samples, score_with(model), rules)
    assert [reading.end_sample for reading in readings] == ends
    np.testing.assert_allclose([reading.scores for reading in readings], smoothed, atol=1e-6)
    assert raised
    assert [dataclasses.replace(one, score=0) for one in _alarms(readings)] == [
        dataclasses.replace(one, score=0) for one in raised
    ]


def _alarms_of(rows: list[list[float]], **changes: Any) -> list[tuple[int, str]]:
    """The alarms of a stream whose windows have these scores, one window of one sample each."""
    rules = dataclasses.replace(RULES, window_samples=1, shift_samples=1, **{"smooth": 1, **changes})
    stream = np.arange(len(rows), dtype=np.float32)
    readings = listen([stream], lambda windows: np.array([rows[int(one)] for one in windows[:, 0]]), rules)
    return [(alarm.end_sample, alarm.keyword) for alarm in _alarms(list(readings))]


def test_a_score_at_the_threshold_is_accepted() -> None:
    """Accept where score >= threshold, and not just below it."""
    below = float(np.nextafter(0.5, 0))
    assert _alarms_of([[below, 1 - below, 0.0], [0.5, 0.0, 0.5]], refractory_samples=0) == [(1, "no"), (2, "yes")]


def test_the_refractory_time_counts_from_the_last_alarm_of_the_keyword() -> None:
    """A held keyword alarms again once the time is over; another keyword has a time of its own."""
    yes, no = [0.9, 0.1, 0.0], [0.1, 0.9, 0.0]
    assert _alarms_of([yes] * 7, refractory_samples=3) == [(1, "yes"), (4, "yes"), (7, "yes")]
    assert _alarms_of([yes, no, yes, no], refractory_samples=3) == [(1, "yes"), (2, "no")]


def test_a_background_label_raises_no_alarm() -> None:
    """Whatever its score is."""
    assert _alarms_of([[0.0, 0.0, 1.0]] * 9, threshold=0.1) == []


def test_smoothing_takes_the_mean_of_the_last_posteriors() -> None:
    """By hand: 0, 1, 1, 0 smoothed over 2 is 0, 0.5, 1, 0.5; the first posterior counts alone."""
    rows = [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    assert _alarms_of(rows, smooth=2, threshold=0.5, refractory_samples=0) == [(2, "yes"), (3, "yes"), (4, "yes")]
    assert _alarms_of(rows, smooth=2, threshold=0.6, refractory_samples=0) == [(3, "yes")]
    assert _alarms_of(rows[1:2], smooth=9, threshold=1.0) == [(1, "yes")]


def test_the_last_window_is_filled_up_with_zeros() -> None:
    """A short stream is one window, a longer one ends in a filled window, and an empty one has none."""
    seen: list[list[float]] = []

    def score(windows: NDArray[np.float32]) -> NDArray[np.float64]:
        seen.extend(windows.tolist())
        return _three_scores(windows)

    ends = [[reading.end_sample for reading in listen([np.ones(n, np.float32)], score, RULES)] for n in (0, 1, 4, 5)]
    assert ends == [[], [1], [4], [4, 5]]
    assert seen == [[1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]]


def test_the_rules_of_a_model_are_in_its_samples() -> None:
    """The keywords are those of the header, and seconds become samples at its rate."""
    header = checkpoint_of("conv1d_sber").header
    manifest = find_manifest("speech_commands_v2_12")[0]
    assert Rules.of_model(header) == Rules(manifest.keywords, 16_000, 1_600, 3, 0.5, 16_000)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threshold", float("nan")),
        ("threshold", -0.01),
        ("threshold", 1.01),
        ("shift_s", 0.0),
        ("shift_s", 1.1),
        ("shift_s", float("nan")),
        ("smooth", 0),
        ("refractory_s", -1.0),
        ("refractory_s", float("inf")),
        ("refractory_s", 1e300),
    ],
)
def test_a_figure_out_of_its_range_is_refused(field: str, value: float) -> None:
    """The message names the figure, what was found and the range."""
    with pytest.raises(InputError, match=re.escape(f"{field} is {value}, expected ")) as caught:
        Rules.of_model(checkpoint_of("conv1d_sber").header, **{field: value})
    assert ("not heard" in str(caught.value)) == (field == "shift_s")


@given(
    st.sampled_from([(48, 16), (441, 160), (8, 16), (11, 16), (16, 16), (97, 89)]),
    st.integers(0, 3_000),
    st.lists(st.integers(0, 3_000), max_size=8),
)
def test_a_resampled_stream_is_the_resampled_whole(rates: tuple[int, int], length: int, cuts: list[int]) -> None:
    """Joined, the blocks are bit for bit what SciPy makes of all samples at once."""
    samples = np.random.default_rng(length).normal(size=length).astype(np.float32)
    blocks = list(resampled(_cut(samples, cuts), *rates))
    joined = np.concatenate([*blocks, np.zeros(0, np.float32)])
    whole = resample_poly(samples, rates[1], rates[0]) if length and rates[0] != rates[1] else samples
    assert joined.dtype == np.float32
    assert np.array_equal(joined, whole)


@pytest.mark.parametrize(
    ("name", "rate_hz", "channels"),
    [("a.wav", 16_000, 1), ("a.wav", 44_100, 2), ("a.flac", 48_000, 3), ("a.ogg", 22_050, 1), ("a.mp3", 32_000, 2)],
)
def test_a_streamed_file_is_the_whole_file(
    name: str, rate_hz: int, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of any format, rate and number of channels are, joined, what `read_any_audio` returns."""
    samples = np.random.default_rng(2).uniform(-0.5, 0.5, size=(rate_hz * 2 + 123, channels))
    soundfile.write(tmp_path / name, samples, rate_hz)
    monkeypatch.setattr(sound_files, "_VALUES_PER_READ", 5_000)
    monkeypatch.setattr(sound_files, "_SAMPLES_PER_BLOCK", 7_000)
    blocks = list(stream_file(tmp_path / name, 16_000))
    assert len(blocks) > 2
    assert min(map(len, blocks[:-1])) >= 7_000
    assert np.array_equal(np.concatenate(blocks), read_any_audio(tmp_path / name, 16_000))


def test_a_long_file_takes_little_memory(tmp_path: Path) -> None:
    """A file of ten minutes is heard in a fraction of the memory of its samples."""
    minute = np.random.default_rng(3).integers(-99, 99, 60 * 16_000).astype(np.int16)
    soundfile.write(tmp_path / "long.flac", np.tile(minute, 10), 16_000)
    whole_bytes = 4 * 10 * len(minute)
    rules = Rules(("yes", "no"), 16_000, 16_000, 3, 0.5, 16_000)
    with takes_at_most(0.6 * whole_bytes):
        readings = sum(1 for _ in listen(stream_file(tmp_path / "long.flac", 16_000), _loudness, rules))
    assert readings == 600


def _loudness(windows: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.array([[abs(window).mean(dtype=np.float64), 0, 0] for window in windows])


def test_a_file_that_is_too_long_to_be_read_at_once_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of `read_any_audio` is not that of a stream."""
    soundfile.write(tmp_path / "a.wav", np.zeros(2_000), 16_000)
    monkeypatch.setattr("kwsbench.dataset.audio._MAX_VALUES", 1_000)
    with pytest.raises(InputError, match="absurd"):
        read_any_audio(tmp_path / "a.wav", 16_000)
    assert sum(map(len, stream_file(tmp_path / "a.wav", 16_000))) == 2_000


def _write_cut(path: Path) -> None:
    soundfile.write(path, np.zeros(9_000), 16_000, format="WAV")
    path.write_bytes(path.read_bytes()[:-100])


def _write_cut_flac(path: Path) -> None:
    soundfile.write(path, np.random.default_rng(4).uniform(-1, 1, 90_000), 16_000, format="FLAC")
    path.write_bytes(path.read_bytes()[:-10_000])


BROKEN: dict[str, tuple[Callable[[Path], Any], str, bool]] = {
    "nothing": (lambda _: None, "no such file", True),
    "folder": (Path.mkdir, "a folder", True),
    "empty": (lambda path: path.write_bytes(b""), "no audio", True),
    "text": (lambda path: path.write_text("fLaC or not"), "no audio", True),
    "cut off": (_write_cut, "cut off", True),
    "cut off later": (_write_cut_flac, "cut off", False),
    "no samples": (lambda path: soundfile.write(path, np.zeros(0), 16_000, format="WAV"), "no samples", False),
    "rate": (lambda path: soundfile.write(path, np.zeros(9), 900, format="WAV"), "a sample rate of 900 Hz", True),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_heard_is_refused_as_predict_refuses_it(kind: str, tmp_path: Path) -> None:
    """Found in the header it is refused before any file is heard, otherwise when the stream gets there."""
    write, says, in_header = BROKEN[kind]
    path = tmp_path / "a.wav"
    write(path)
    with pytest.raises(InputError, match=f"a.wav: found .*{says}"):
        read_any_audio(path, 16_000)
    with pytest.raises(InputError, match=f"a.wav: found .*{says}"):
        list(stream_file(path, 16_000))
    if in_header:
        with pytest.raises(InputError, match=says):
            check_sound_file(path)
    else:
        check_sound_file(path)


def test_a_file_of_samples_without_a_header_is_refused(tmp_path: Path) -> None:
    """By its ending, as soundfile has it."""
    (tmp_path / "a.raw").write_bytes(bytes(100))
    with pytest.raises(InputError, match="samples without a header"):
        check_sound_file(tmp_path / "a.raw")


def test_a_sample_that_is_no_number_is_named_with_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is that in the file, not that in the block."""
    samples = np.zeros(16_000, np.float32)
    samples[12_000] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    monkeypatch.setattr(sound_files, "_VALUES_PER_READ", 5_000)
    with pytest.raises(InputError, match=r"NaN or infinite at 0\.750 s"):
        list(stream_file(tmp_path / "a.wav", 16_000))


class _PortAudioError(Exception):
    pass


class _Stream:
    """What `sounddevice.InputStream` is to the microphone: it hears what a test lets it hear."""

    active = True

    def __init__(self, rate_hz: int, block: int, callback: Any, **_settings: Any) -> None:
        self.rate_hz, self.block, self._callback = rate_hz, block, callback

    def hear(self, samples: NDArray[np.float32], *, overflow: bool = False) -> None:
        self._callback(samples[:, None], len(samples), None, SimpleNamespace(input_overflow=overflow))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.active = False


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[_Stream]]:
    """The streams that were opened, with a stand-in for sounddevice, whose device has 48 kHz and knows 16 kHz."""
    opened: list[_Stream] = []

    def open_stream(*arguments: Any, **settings: Any) -> _Stream:
        opened.append(_Stream(*arguments, **settings))
        return opened[-1]

    def check(samplerate: int, **_: Any) -> None:
        if samplerate not in {16_000, 48_000}:
            raise _PortAudioError("Invalid sample rate")

    stand_in = ModuleType("sounddevice")
    vars(stand_in).update(
        InputStream=open_stream,
        PortAudioError=_PortAudioError,
        check_input_settings=check,
        query_devices=lambda kind: {"name": f"an {kind}", "default_samplerate": 48_000.0},
    )
    monkeypatch.setitem(sys.modules, "sounddevice", stand_in)
    monkeypatch.setattr(microphone, "_PATIENCE_S", 0.01)
    return opened


def test_the_microphone_gives_all_that_was_heard_as_one_block(streams: list[_Stream]) -> None:
    """What waits is one block, in order, copied from the memory that PortAudio uses again; lost samples are told once."""
    said: list[str] = []
    with microphone.open_microphone(16_000, said.append) as opened:
        assert opened.name == "an input"
        again = np.zeros(3, np.float32)
        for number in range(4):
            again[:] = number
            streams[0].hear(again, overflow=True)
        assert next(opened.blocks).tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
        streams[0].hear(again, overflow=True)
        next(opened.blocks)
    assert not streams[0].active
    assert said == ["The computer was too busy: some of what the microphone heard is lost."]


def test_a_microphone_of_another_rate_is_resampled(streams: list[_Stream]) -> None:
    """Where the rate of the model is refused, the stream has that of the device."""
    samples = np.random.default_rng(5).normal(size=48_000).astype(np.float32)
    with microphone.open_microphone(8_000, print) as opened:
        assert (streams[0].rate_hz, streams[0].block) == (48_000, 2_400)
        streams[0].hear(samples)
        heard = next(opened.blocks)
    assert len(heard) > 7_900
    assert np.array_equal(heard, resample_poly(samples, 1, 6)[: len(heard)])


def test_a_microphone_that_stops_is_an_error(streams: list[_Stream]) -> None:
    """Where nothing comes any more, it is not waited for."""
    with microphone.open_microphone(16_000, print) as opened:
        streams[0].active = False
        with pytest.raises(InputError, match="the microphone has stopped"):
            next(opened.blocks)


def test_a_model_that_is_too_slow_is_an_error(streams: list[_Stream]) -> None:
    """A minute behind, it does not take ever more memory, nor does it skip what was said."""
    with microphone.open_microphone(16_000, print) as opened:
        for _ in range(1_201):
            streams[0].hear(np.zeros(1, np.float32))
        with pytest.raises(InputError, match=r"too slow: it is 60 s behind the microphone; try a longer --shift-s"):
            next(opened.blocks)
