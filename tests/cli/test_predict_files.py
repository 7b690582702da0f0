"""`kwsbench predict MODEL FILE_OR_FOLDER...`: any audio that people bring along."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from conftest import CommandLine, Tiny

MODEL = "models/tiny/tiny.txt"
LABELS = ["low", "high", "да", "_unknown_"]


def _tone(rate_hz: int, length_s: float = 0.2) -> np.ndarray:
    """The keyword `high`."""
    return 0.3 * np.sin(2 * np.pi * 3_000 * np.arange(int(rate_hz * length_s)) / rate_hz)


def _write(path: Path, samples: np.ndarray, rate_hz: int, subtype: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, subtype=subtype)


def _rows(path: Path) -> dict[str, dict[str, str]]:
    return {row["path"]: row for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())}


def test_any_audio_is_heard_at_the_rate_of_the_model(kws: CommandLine, baselines: tuple) -> None:
    """Stereo, 8 kHz, 24-bit, FLAC and Ogg are resampled and mixed; paths are relative to the folder, sorted."""
    folder = kws.folder / "mine"
    both = np.stack([_tone(44_100), _tone(44_100)], axis=1)
    _write(folder / "stereo.wav", both, 44_100)
    _write(folder / "narrow.wav", _tone(8_000), 8_000)
    _write(folder / "deep/24 bit.wav", _tone(48_000), 48_000, "PCM_24")
    _write(folder / "deep/слово.flac", _tone(22_050), 22_050)
    _write(folder / "deep/lossy.ogg", _tone(32_000, 0.5), 32_000)
    (folder / ".hidden").mkdir()
    (folder / ".hidden/a.wav").write_bytes(b"not audio")
    (folder / "._stereo.wav").write_bytes(b"not audio")
    (folder / "notes.txt").write_text("not audio")
    ran = kws.works("predict", MODEL, "mine", *baselines, "-o", "new/mine.csv")
    rows = _rows(kws.folder / "new/mine.csv")
    assert list(rows) == ["deep/24 bit.wav", "deep/lossy.ogg", "deep/слово.flac", "narrow.wav", "stereo.wav"]
    assert {row["label"] for row in rows.values()} <= set(LABELS)
    assert list(rows["stereo.wav"])[2:] == [f"score_{label}" for label in LABELS]
    assert rows["stereo.wav"]["label"] == rows["deep/24 bit.wav"]["label"] == "high"
    assert ran.out == "new/mine.csv: 5 clips\n"
    assert ran.err == "1 of 5 files are longer: only their first 0.2 s were heard.\n"


def test_files_are_named_as_they_were_given(tiny: Tiny, kws: CommandLine, baselines: tuple) -> None:
    """A file keeps its path as typed, is taken once however often it is named, and scores as in its data set."""
    shutil.copy(tiny.audio / "test/low/ivan-0.wav", kws.folder / "clip.wav")
    kws.works("predict", MODEL, "clip.wav", "clip.wav", "./clip.wav", *baselines, "-o", "mine.csv")
    rows, earlier = _rows(kws.folder / "mine.csv"), _rows(kws.folder / "preds.csv")
    assert list(rows) == ["clip.wav"]
    assert rows["clip.wav"]["score_high"] == earlier["test/low/ivan-0.wav"]["score_high"]


def test_everything_that_cannot_be_read_is_named_and_nothing_is_written(kws: CommandLine, baselines: tuple) -> None:
    """One error names each unreadable file with its reason; the predictions of before stay as they are."""
    folder = kws.folder / "mine"
    _write(folder / "fine.wav", _tone(16_000), 16_000)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.flac").write_text("fLaC or not")
    (folder / "cut.wav").write_bytes((folder / "fine.wav").read_bytes()[:-100])
    (folder / "gone.wav").symlink_to("nowhere.wav")
    os.mkfifo(folder / "pipe.wav")
    says = ["5 of 7 files", "nothing was written", "empty.wav", "text.flac", "cut.wav", "gone.wav", "pipe.wav"]
    kws.fails(2, "predict", MODEL, "mine", "mine/fine.wav", *baselines, says=says)


def test_names_that_would_be_equal_are_refused(kws: CommandLine, baselines: tuple) -> None:
    """Two folders with a file of the same name, and a name that is no text, are one error that names them."""
    for name in (b"one/a.wav", b"two/a.wav", b"two/\xff.wav"):
        path = Path(os.fsdecode(os.fsencode(kws.folder) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            soundfile.write(file, _tone(16_000), 16_000, format="WAV")
    says = ["two/a.wav", "one/a.wav has too", "name the folder above both", "not UTF-8"]
    kws.fails(2, "predict", MODEL, "one", "two", *baselines, says=says)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((MODEL,), "name either a data set with --manifest, or audio files"),
        ((MODEL, "empty", "--manifest", "tiny"), "name either a data set with --manifest, or audio files"),
        ((MODEL, "empty"), "no audio in empty (looked for .wav, .flac"),
        ((MODEL, "nothing.wav"), "nothing.wav: found no such file"),
        ((MODEL, "--manifest", "tiny", "-o", MODEL), "it is the model, and would be lost"),
        ((MODEL, "clip.wav", "-o", "clip.wav"), "it is the input clip.wav, and would be lost"),
        ((MODEL, "clip.wav", "-o", "empty"), "cannot write empty: it is a folder"),
        ((MODEL, "clip.wav", "-o", "pipe"), "cannot write pipe: it is a device"),
        ((MODEL, "clip.wav", "-o", "preds.csv/p.csv"), "preds.csv is a file, not a folder"),
    ],
    ids=lambda value: "_".join(value[1:])[:30] if isinstance(value, tuple) else "",
)
def test_impossible_requests_are_refused(words: tuple[str, ...], says: str, kws: CommandLine, baselines: tuple) -> None:
    """What cannot be predicted or written is one error before the work begins, and loses no file."""
    (kws.folder / "empty").mkdir()
    os.mkfifo(kws.folder / "pipe")  # stands for /dev/null, which root would lose if this failed
    _write(kws.folder / "clip.wav", _tone(16_000), 16_000)
    kws.fails(2, "predict", *words, *baselines, says=[says])
