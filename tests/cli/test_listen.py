"""`kwsbench listen`: alarms from files and from a microphone, which is a stand-in that plays a file."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from kwsbench.listen.alarms import Rules
from kwsbench.predict import load_model
from tests.checkpoints import write_checkpoint

if TYPE_CHECKING:
    from conftest import CommandLine

MODEL = "models/tiny/tiny.txt"
LINE = re.compile(r"\d+\.\d s  (low|high|да)  [01]\.\d\d")
QUICK = ("--shift-s", "0.05", "--threshold", "0.4")

# A stand-in for the library: a device of 48 kHz that knows other rates unless told otherwise, and plays a file.
SOUNDDEVICE = """
import os, threading
from pathlib import Path
from types import SimpleNamespace

kind = os.environ["MICROPHONE"]
if kind == "without PortAudio":
    raise OSError("PortAudio library not found")

class PortAudioError(Exception):
    pass

if kind == "not started":
    raise PortAudioError("Error initializing PortAudio: Unanticipated host error")

def query_devices(kind):
    if os.environ["MICROPHONE"] == "none":
        raise PortAudioError("Error querying device -1")
    return {"name": "Soft\\x1bmax", "default_samplerate": 48000.0}

def check_input_settings(samplerate, **_):
    if kind == "48 kHz" and samplerate != 48000:
        raise PortAudioError("Invalid sample rate")

class InputStream:
    active = True

    def __init__(self, samplerate, blocksize, channels, dtype, callback):
        assert (channels, dtype) == (1, "float32")
        if kind == "busy":
            raise PortAudioError("Error opening InputStream: Device unavailable")
        self.thread = threading.Thread(target=self.play, args=(samplerate, blocksize, callback), daemon=True)

    def play(self, rate_hz, block, callback):
        import soundfile
        samples, found_hz = soundfile.read("played.wav", dtype="float32", always_2d=True)
        assert found_hz == rate_hz
        for start in range(0, len(samples), block):
            callback(samples[start:start + block], block, None, SimpleNamespace(input_overflow=False))
        if kind == "unplugged":
            self.active = False

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        Path("closed").touch()
"""


def _speech(length_s: float, rate_hz: int = 16_000) -> np.ndarray:
    """Noise, with a tone of 3 kHz, the keyword `high`, from 1 s to 2 s."""
    time_s = np.arange(round(length_s * rate_hz)) / rate_hz
    noise = 0.07 * np.random.default_rng(0).normal(size=len(time_s))
    return noise + np.where((time_s >= 1) & (time_s < 2), 0.3 * np.sin(2 * np.pi * 3_000 * time_s), 0)


@pytest.fixture
def microphone(kws: CommandLine) -> CommandLine:
    """The command line with the stand-in for sounddevice."""
    (kws.folder / "library").mkdir()
    (kws.folder / "library/sounddevice.py").write_text(SOUNDDEVICE)
    kws.env["PYTHONPATH"] = os.pathsep.join([str(kws.folder / "library"), kws.env["PYTHONPATH"]])
    kws.env["MICROPHONE"] = "there"
    return kws


def test_a_file_raises_alarms_where_the_keyword_is(kws: CommandLine, baselines: tuple) -> None:
    """The tone is heard from when it begins to when it ends, once per refractory time; the lines are as documented."""
    soundfile.write(kws.folder / "a.flac", _speech(3), 16_000)
    ran = kws.works("listen", MODEL, "a.flac", *QUICK, "--refractory-s", "0.5", *baselines)
    lines = ran.out.splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    times_s = [float(line.split()[0]) for line in lines if "high" in line]
    assert any(1.0 <= time_s <= 1.3 for time_s in times_s)
    assert min(np.diff(times_s)) >= 0.45  # as printed, in tenths of a second
    assert ran.err == f"a.flac: {len(lines)} alarms in 3.0 s\n"


def test_json_is_one_object_per_line(kws: CommandLine, baselines: tuple) -> None:
    """Each alarm is an object of its own, with its file, and a figure that is not rounded; stdout holds nothing else."""
    soundfile.write(kws.folder / "a.wav", _speech(3), 16_000)
    soundfile.write(kws.folder / "слово.wav", np.stack([_speech(3, 44_100)] * 2, axis=1), 44_100)
    words = ("listen", MODEL, "a.wav", "слово.wav", *QUICK, *baselines)
    records: list[dict[str, Any]] = [json.loads(line) for line in kws.works(*words, "--json").out.splitlines()]
    assert {tuple(record) for record in records} == {("file", "time_s", "keyword", "score")}
    assert {record["file"] for record in records} == {"a.wav", "слово.wav"}
    assert all(0.4 <= record["score"] <= 1 for record in records)
    text = kws.works(*words).out.splitlines()
    shown = [f"{one['file']}: {one['time_s']:.1f} s  {one['keyword']}  {one['score']:.2f}" for one in records]
    assert text == shown


def test_a_checkpoint_hears_what_its_windows_are_as_clips(kws: CommandLine) -> None:
    """A network in torch gives the scores that it gives each window on its own, smoothed."""
    path = write_checkpoint(kws.folder / "model.pt")
    samples = _speech(2.05)
    soundfile.write(kws.folder / "a.wav", samples, 16_000, subtype="FLOAT")
    words = ("--threshold", "0", "--refractory-s", "0", "--json")
    records = [json.loads(line) for line in kws.works("listen", path, "a.wav", *words).out.splitlines()]
    model = load_model(path)
    rules = Rules.of_model(model.header)
    padded = np.pad(samples.astype(np.float32), (0, rules.window_samples))
    starts = [1_600 * number for number in range(12)]
    single = [model.scores(model.hear(padded[one : one + 16_000][None], 16_000))[0] for one in starts]
    smoothed = np.array([np.mean(single[max(0, k - 2) : k + 1], axis=0) for k in range(12)])[:, : len(rules.keywords)]
    assert [record["score"] for record in records] == pytest.approx(smoothed.ravel().tolist(), abs=1e-6)
    assert [record["keyword"] for record in records] == [*rules.keywords] * 12
    ends_s = [min(start + 16_000, len(samples)) / 16_000 for start in starts]
    assert [record["time_s"] for record in records] == [end_s for end_s in ends_s for _ in rules.keywords]


def test_a_short_file_is_one_window(kws: CommandLine, baselines: tuple) -> None:
    """It is followed by zeros, as for `predict`."""
    soundfile.write(kws.folder / "a.wav", _speech(0.1), 16_000)
    ran = kws.works("listen", MODEL, "a.wav", "--threshold", "0", *baselines)
    assert [line.split()[:3] for line in ran.out.splitlines()] == [["0.1", "s", name] for name in ("low", "high", "да")]
    assert ran.err == "a.wav: 3 alarms in 0.1 s\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("a.wav", "--threshold", "nan"), "threshold is nan, expected 0 to 1"),
        (("a.wav", "--shift-s", "0.3"), "shift_s is 0.3, expected 6.25e-05 to 0.2 (the model's window"),
        (("a.wav", "--smooth", "0"), "smooth is 0, expected 1 to 1000"),
        (("a.wav", "models"), "models: found a folder"),
        (("a.wav", "no.wav"), "no.wav: found no such file"),
        (("a.wav", MODEL), "a file that is no audio"),
    ],
    ids=lambda value: "_".join(value)[:30] if isinstance(value, tuple) else "",
)
def test_impossible_requests_are_refused_before_anything_is_heard(
    words: tuple[str, ...], says: str, kws: CommandLine, baselines: tuple
) -> None:
    """A figure out of its range, and a second file that is no audio, are one error and no alarm."""
    soundfile.write(kws.folder / "a.wav", _speech(3), 16_000)
    kws.fails(2, "listen", MODEL, *words, *baselines, says=[says])


def test_a_reader_that_has_gone_is_no_error(kws: CommandLine, baselines: tuple) -> None:
    """Into a closed pipe nothing is said."""
    soundfile.write(kws.folder / "a.wav", _speech(3), 16_000)
    ours, theirs = os.pipe()
    os.close(ours)
    process = kws.start("listen", MODEL, "a.wav", *QUICK, *baselines, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (141, b"")


def test_listening_to_a_file_can_be_stopped(kws: CommandLine, baselines: tuple) -> None:
    """Ctrl-C in the middle of a file ends in 130 and one line; the alarms before it were printed."""
    soundfile.write(kws.folder / "a.flac", np.tile(_speech(3), 2_000), 16_000)
    process = _hear(kws, "a.flac", *baselines)
    assert process.stdout
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=60)
    assert all(LINE.fullmatch(line) for line in (first + rest).decode().splitlines())
    assert process.returncode == 130
    assert said.startswith(b"Error: interrupted")
    assert said.count(b"\n") == 1


def _hear(kws: CommandLine, *words: str | Path, stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Starts listening; its output has no buffer here, where `communicate` would not see what `readline` has taken."""
    return kws.start("listen", MODEL, *QUICK, *words, stdout=subprocess.PIPE, stderr=stderr, bufsize=0)


@pytest.mark.parametrize(("kind", "rate_hz"), [("there", 16_000), ("48 kHz", 48_000)])
def test_the_microphone_raises_alarms_until_it_is_interrupted(
    kind: str, rate_hz: int, microphone: CommandLine, baselines: tuple
) -> None:
    """Alarms come as they are heard, resampled where need be; Ctrl-C closes the microphone and is no error."""
    microphone.env["MICROPHONE"] = kind
    soundfile.write(microphone.folder / "played.wav", _speech(3, rate_hz), rate_hz)
    process = _hear(microphone, *baselines)
    assert process.stdout
    first = process.stdout.readline().decode()
    assert LINE.fullmatch(first.rstrip())
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert (microphone.folder / "closed").exists()
    lines = [first.rstrip(), *rest.decode().splitlines()]
    assert all(LINE.fullmatch(line) for line in lines)
    start, end = said.decode().splitlines()
    assert start == "Listening to Soft?max; Ctrl-C ends it."
    told = re.fullmatch(r"(\d+) alarms? in \d\.\d s", end)
    assert told
    assert int(told[1]) in {len(lines) - 1, len(lines)}, "it may be interrupted between an alarm and its count"


def test_a_terminal_shows_the_likeliest_label_and_a_bar(microphone: CommandLine, baselines: tuple) -> None:
    """On stderr, where alarms do not go, and the line is empty at the end; Ctrl-C without an alarm is no error."""
    soundfile.write(microphone.folder / "played.wav", _speech(1), 16_000)
    ours, theirs = pty.openpty()
    microphone.env |= {"TERM": "xterm", "NO_COLOR": "1"}
    process = _hear(microphone, "--threshold", "1", *baselines, stderr=theirs)
    os.close(theirs)
    shown = b""
    while not re.search(r"\d\.\d s  █+░+  0\.\d\d  _unknown_", shown.decode(errors="replace")):
        assert select.select([ours], [], [], 30)[0], shown
        shown += os.read(ours, 4_096)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    shown = os.read(ours, 4_096)
    os.close(ours)
    assert (process.returncode, out) == (0, b"")
    assert re.search(rb"\r\x1b\[2K0 alarms in \d\.\d s\r\n\Z", shown)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("none", "no microphone can be opened (Error querying device -1); plug one in, or name audio files"),
        ("busy", "no microphone can be opened (Error opening InputStream: Device unavailable)"),
        ("without PortAudio", "sounddevice finds no PortAudio, the library that it hears with; install it (`apt"),
        ("not started", "PortAudio does not start (Error initializing PortAudio"),
        ("unplugged", "the microphone has stopped; was it unplugged?"),
    ],
)
def test_what_is_wrong_with_the_microphone_is_one_message(
    kind: str, says: str, microphone: CommandLine, baselines: tuple
) -> None:
    """No device, one that is taken, one that goes, and a library without PortAudio say what to do."""
    microphone.env["MICROPHONE"] = kind
    soundfile.write(microphone.folder / "played.wav", _speech(0.5), 16_000)
    ran = microphone("listen", MODEL, "--threshold", "1", *baselines)
    started = "Listening to Soft?max; Ctrl-C ends it.\n" if kind == "unplugged" else ""
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"{started}Error: {says}")
    assert "Traceback" not in ran.err


def test_without_the_library_the_extra_is_named(kws: CommandLine, baselines: tuple) -> None:
    """Files need no microphone, and a microphone says what to install."""
    kws.env["HIDDEN_MODULES"] += ",sounddevice"
    soundfile.write(kws.folder / "a.wav", _speech(0.5), 16_000)
    kws.works("listen", MODEL, "a.wav", *baselines)
    says = ["sounddevice is not installed", "pip install 'kwsbench[listen]'"]
    kws.fails(2, "listen", MODEL, *baselines, says=says)
