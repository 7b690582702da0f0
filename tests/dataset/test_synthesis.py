from __future__ import annotations

import _ctypes
import hashlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kwsbench.dataset.espeak import Utterance
from kwsbench.dataset.speech import Installation, installation
from kwsbench.dataset.synthesis import plan, synthesise, voices_of
from kwsbench.errors import InputError
from kwsbench.manifest import SPLITS, Manifest, parse_manifest, read_manifest

_TOML = Path(__file__).parents[2] / "data_manifests" / "espeak_12.toml"
_ONE_VOICE_PER_SPLIT = """
[synthesis.voices.en]
train = ["en-us+m1"]
validation = ["en+f2"]
test = ["en-gb-scotland+m2"]

[synthesis.voices.ru]
train = ["ru+m1"]
validation = ["ru+f2"]
test = ["ru+m2"]

[front_end]"""


@pytest.fixture(scope="module")
def shipped() -> Manifest:
    """The shipped manifest."""
    return read_manifest(_TOML)


@pytest.fixture(scope="module")
def cut() -> Manifest:
    """A small cut of it: see `_cut`."""
    return _cut()


@pytest.fixture(scope="module")
def audio(cut: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips of the cut, synthesised by two workers."""
    root = tmp_path_factory.mktemp("synthesis") / "audio"
    synthesise(cut, root, workers=2)
    return root


def _cut(*edits: tuple[str, str]) -> Manifest:
    """The shipped manifest with one voice per language and split and six words, each edited as given."""
    text = _TOML.read_text(encoding="utf-8").partition("\n[expected.")[0]
    voices, front_end = text.index("[synthesis.voices.en]"), text.index("[front_end]")
    text = text[:voices] + _ONE_VOICE_PER_SPLIT.lstrip() + text[front_end + len("[front_end]") :]
    kept = re.compile(r'"(yes|stop|go|да|стой|нос)", language')
    lines = [line for line in text.splitlines() if "language = " not in line or kept.search(line)]
    text = "\n".join(lines).replace("takes_per_word = 12", "takes_per_word = 3")
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return parse_manifest(text, "cut.toml")


def _samples(path: Path) -> NDArray[np.float64]:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)


def _contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_counts_in_the_toml_are_those_of_the_plan(shipped: Manifest) -> None:
    """The manifest expects exactly the clips that are synthesised."""
    planned = Counter((clip.split, clip.label) for clip in plan(shipped))
    expected = {(split, label): count for split, counts in shipped.expected.items() for label, count in counts.items()}
    assert planned == expected
    assert {label for _, label in expected} == set(shipped.labels)


def test_planned_paths_are_distinct_and_name_split_and_label(shipped: Manifest) -> None:
    """Every clip has a path of its own that begins with its split and its label."""
    clips = plan(shipped)
    assert len({clip.path for clip in clips}) == len(clips)
    assert all(clip.path.startswith(f"{clip.split}/{clip.label}/") for clip in clips)


def test_no_variant_is_in_two_splits(shipped: Manifest) -> None:
    """A voice, and even its variant in another language or accent, is in one split only."""
    assert shipped.synthesis is not None
    splits: dict[str, set[str]] = {}
    for voices, split in itertools.product(shipped.synthesis.voices.values(), SPLITS):
        for voice in voices_of(voices, split):
            splits.setdefault(voice.partition("+")[2], set()).add(split)
    assert all(len(found) == 1 for found in splits.values())
    assert len(splits) == 25


def test_the_speaker_pattern_finds_the_voice(shipped: Manifest) -> None:
    """The manifest's pattern takes exactly the voice from every planned path."""
    assert shipped.speaker_pattern is not None
    for clip in plan(shipped):
        match = re.search(shipped.speaker_pattern, clip.path)
        assert match is not None
        assert match["speaker"] == clip.voice


def test_russian_is_spoken_by_russian_voices(shipped: Manifest) -> None:
    """Text in Cyrillic letters is said by a `ru` voice, other text by an `en` voice."""
    for clip in plan(shipped):
        if clip.word:
            cyrillic = re.search(r"[\u0430-\u044f]", clip.word.text) is not None
            assert re.split(r"[-+]", clip.voice)[0] == ("ru" if cyrillic else "en")


def test_espeak_has_every_voice_of_the_manifest(shipped: Manifest) -> None:
    """The installed espeak-ng has all voices that the shipped manifest names."""
    installation().check_voices({clip.voice for clip in plan(shipped)})


def test_the_same_bytes_whatever_the_number_of_workers(cut: Manifest, audio: Path, tmp_path: Path) -> None:
    """One worker writes the same files as two, byte for byte."""
    assert synthesise(cut, tmp_path / "one", workers=1) == len(plan(cut))
    assert _contents(tmp_path / "one") == _contents(audio)


def test_a_breathing_voice_says_the_same_in_another_second() -> None:
    """The breath noise of a voice does not depend on the time of day."""
    utterances = [Utterance("yes", 140, 50, 50)] * 3
    first, second = installation().speak("en+f2", utterances), int(time.time())
    while int(time.time()) == second:
        time.sleep(0.02)
    assert installation().speak("en+f2", utterances) == first
    assert len(set(first.pcm)) == 3


def test_every_planned_clip_is_written_and_nothing_else(cut: Manifest, audio: Path) -> None:
    """The folder holds the planned clips."""
    assert set(_contents(audio)) == {clip.path for clip in plan(cut)}


def test_no_two_clips_are_the_same(audio: Path) -> None:
    """Takes of a word by a voice differ, and so do stretches of noise."""
    digests = Counter(hashlib.sha256(content).hexdigest() for content in _contents(audio).values())
    assert max(digests.values()) == 1


def test_clips_are_mono_16_bit_and_one_second_long(cut: Manifest, audio: Path) -> None:
    """Every WAV is mono, 16-bit, 16 kHz, and 16,000 samples long."""
    for clip in plan(cut):
        with wave.open(str(audio / clip.path)) as file:
            assert file.getparams()[:4] == (1, 2, 16_000, 16_000)


def test_peak_levels_are_those_that_were_drawn(cut: Manifest, audio: Path) -> None:
    """Clips peak at the level drawn from the manifest's range, those of noise alone at levels from low to high."""
    assert cut.synthesis is not None
    silent = []
    for clip in plan(cut):
        bounds = cut.synthesis.level_dbfs if clip.word else cut.synthesis.silence_level_dbfs
        level_db = clip.draws.tenths("level", bounds) / 10
        peak = np.abs(_samples(audio / clip.path)).max()
        assert peak == pytest.approx(32_767 * 10 ** (level_db / 20), abs=0.51)
        assert bounds[0] <= level_db <= bounds[1]
        silent += [] if clip.word else [level_db]
    assert min(silent) < -50
    assert max(silent) > -25


def test_the_noise_has_the_drawn_power(cut: Manifest, audio: Path, tmp_path: Path) -> None:
    """Against the same clips without audible noise, the signal-to-noise ratio is the one that was drawn."""
    clean = _cut(("snr_db = [0.0, 30.0]", "snr_db = [200, 200]"), ("level_dbfs = [-25.0, -1.0]", "level_dbfs = [0, 0]"))
    synthesise(clean, tmp_path / "clean")
    for clip in plan(cut):
        if clip.word:
            word, noisy = _samples(tmp_path / "clean" / clip.path), _samples(audio / clip.path)
            loud = np.flatnonzero(word)
            scale = word @ noisy / (word @ word)
            noise_power = np.mean((noisy - scale * word) ** 2)
            word_power = np.mean((scale * word[loud[0] : loud[-1] + 1]) ** 2)
            drawn_db = clip.draws.tenths("snr", (0.0, 30.0)) / 10
            assert 10 * np.log10(word_power / noise_power) == pytest.approx(drawn_db, abs=0.3)
            assert 0 <= drawn_db <= 30


def test_words_lie_whole_near_the_middle(cut: Manifest, tmp_path: Path) -> None:
    """A word is 0.1 to 0.9 s long, inside its clip, with its middle within 0.1 s of the clip's."""
    clean = _cut(("snr_db = [0.0, 30.0]", "snr_db = [200, 200]"))
    synthesise(clean, tmp_path / "clean")
    for clip in plan(cut):
        if clip.word:
            loud = np.flatnonzero(_samples(tmp_path / "clean" / clip.path))
            assert 1_600 < loud[-1] - loud[0] < 14_400
            assert abs((loud[0] + loud[-1]) / 2 - 8_000) <= 1_601


def test_an_unknown_voice_is_an_error_that_names_those_there_are(tmp_path: Path) -> None:
    """espeak-ng would silently speak with another voice, so unknown ones are named, all of them, with what there is."""
    wrong = _cut(('"en-us+m1"', '"en-us+m11"'), ('"ru+m2"', '"rus+m2"'))
    with pytest.raises(InputError) as caught:
        synthesise(wrong, tmp_path / "audio")
    messages = [str(problem) for problem in caught.value.problems]
    assert re.search(r"voice 'en-us\+m11'.*one of .*\bm1, m2\b.*did you mean 'm1'", messages[0])
    assert re.search(r"voice 'rus\+m2'.*one of .*\bru, ru-cl\b.*did you mean 'ru'", messages[1])
    assert list(tmp_path.iterdir()) == []


def test_another_version_of_espeak_is_an_error(tmp_path: Path) -> None:
    """Clips of another version would be other clips under the same name."""
    with pytest.raises(InputError, match=re.escape("for espeak-ng 1.51, and 1.52.0 is installed")):
        synthesise(_cut(('espeak_version = "1.52.0"', 'espeak_version = "1.51"')), tmp_path / "audio")
    assert list(tmp_path.iterdir()) == []


def test_a_word_without_sound_is_an_error(tmp_path: Path) -> None:
    """A text that the voice cannot pronounce is named, instead of a clip of noise under a keyword's label."""
    with pytest.raises(InputError, match="makes no sound for the word '_'"):
        synthesise(_cut(('text = "yes"', 'text = "_"')), tmp_path / "audio")


def test_espeak_missing_says_how_to_install_it(cut: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without espeakng-loader the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(InputError, match=re.escape("pip install 'kwsbench[espeak]'")):
        synthesise(cut, tmp_path / "audio")


def _with_data(tmp_path: Path, **damaged: bytes) -> Installation:
    found, data = installation(), tmp_path / "espeak-ng-data"
    shutil.copytree(found.data, data)
    for name, content in damaged.items():
        (data / name).write_bytes(content)
    return Installation(found.library, data)


def _with_library(tmp_path: Path, content: bytes) -> Installation:
    library = tmp_path / "libespeak-ng.so"
    library.write_bytes(content)
    return Installation(library, installation().data)


_BROKEN: dict[str, Callable[[Path], Installation]] = {
    "cannot use the data": lambda folder: _with_data(folder, phondata=b"of another version"),
    "stopped with code": lambda folder: _with_data(folder, phontab=b""),
    "cannot be run": lambda folder: Installation(installation().library, folder / "gone" / "espeak-ng-data"),
    "cannot be loaded": lambda folder: _with_library(folder, b"no library"),
    "lacks espeak_Initialize": lambda folder: _with_library(folder, Path(_ctypes.__file__).read_bytes()),
}


@pytest.mark.parametrize("message", _BROKEN)
def test_a_broken_espeak_is_an_error(tmp_path: Path, message: str) -> None:
    """Data or a library that is damaged, missing or another one is an error that says so, even where espeak crashes."""
    with pytest.raises(InputError, match=message):
        _BROKEN[message](tmp_path).speak("en-us", [Utterance("yes", 140, 50, 50)])


def test_a_manifest_without_synthesis_is_an_error(cut: Manifest, tmp_path: Path) -> None:
    """Downloaded data cannot be synthesised."""
    with pytest.raises(InputError, match=r"has no \[synthesis\]"):
        synthesise(cut.model_copy(update={"synthesis": None}), tmp_path / "audio")


def test_a_label_that_is_none_is_an_error(tmp_path: Path) -> None:
    """[synthesis] makes no clips of labels that the manifest lacks."""
    with pytest.raises(InputError, match="the label 'maybe', expected one of yes, no, left"):
        synthesise(_cut(('label = "stop"', 'label = "maybe"')), tmp_path / "audio")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"en+f2"', '"en-us+m1"', "overlapping splits: the voice en-us"),
        ('"ru+f2"', '"en+f2"', "in two languages"),
        ('"en+f2"', '"../f2"', "pattern"),
        ('text = "stop"', 'text = "yes"', "the word yes .en. is there twice"),
        ("[0.0, 30.0]", "[30.0, 0.0]", "the range snr_db"),
        ("[110, 200]", "[20, 200]", "80"),
        ("[-25.0, -1.0]", "[-25.0, 1.0]", "less than or equal to 0"),
        ('"да", language = "ru"', '"да", language = "uk"', "no voices for the language uk"),
    ],
)
def test_a_synthesis_that_makes_no_sense_is_no_manifest(old: str, new: str, message: str) -> None:
    """Overlapping voices, words given twice and ranges out of bounds are found when the manifest is read."""
    with pytest.raises(InputError, match=message):
        _cut((old, new))


def test_a_folder_of_something_else_is_not_replaced(cut: Manifest, tmp_path: Path) -> None:
    """A folder that holds anything but splits stays as it is."""
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"not replaced.*thesis\.tex"):
        synthesise(cut, tmp_path)
    assert _contents(tmp_path) == {"thesis.tex": b"years of work"}


def test_no_workers_is_an_error(cut: Manifest, tmp_path: Path) -> None:
    """The number of workers is at least 1."""
    with pytest.raises(InputError, match="0 workers"):
        synthesise(cut, tmp_path / "audio", workers=0)


def _interrupted(root: Path, number: int) -> int:
    """Starts the whole synthesis in a process of its own, sends the whole group a signal in the midst, returns its exit code."""
    program = (
        "import sys; from pathlib import Path; from kwsbench.manifest import read_manifest;"
        " from kwsbench.dataset.synthesis import synthesise;"
        f" synthesise(read_manifest(Path({str(_TOML)!r})), Path(sys.argv[1]), workers=2)"
    )
    command = [sys.executable, "-c", program, str(root)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None and len(list(root.parent.glob(".*.tmp/**/*.wav"))) < 100:
            time.sleep(0.01)
        os.killpg(process.pid, number)
    return process.returncode


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A folder as an earlier synthesis may have left it, with one clip."""
    root = tmp_path / "audio"
    (root / "train" / "yes").mkdir(parents=True)
    (root / "train" / "yes" / "old.wav").write_bytes(b"from an earlier run")
    return root


_EARLIER = {"train/yes/old.wav": b"from an earlier run"}


def test_ctrl_c_leaves_the_earlier_folder_and_nothing_beside_it(earlier: Path) -> None:
    """SIGINT in the midst of the synthesis leaves what was there before, and no temporary folder."""
    assert _interrupted(earlier, signal.SIGINT) != 0
    assert _contents(earlier) == _EARLIER
    assert list(earlier.parent.iterdir()) == [earlier]


def test_a_kill_leaves_the_earlier_folder_and_the_next_run_cleans_up(cut: Manifest, earlier: Path) -> None:
    """SIGKILL leaves what was there before; the next run removes the rest and replaces the folder."""
    assert _interrupted(earlier, signal.SIGKILL) == -signal.SIGKILL
    assert _contents(earlier) == _EARLIER
    assert len(list(earlier.parent.iterdir())) == 2
    synthesise(cut, earlier)
    assert set(_contents(earlier)) == {clip.path for clip in plan(cut)}
    assert list(earlier.parent.iterdir()) == [earlier]
