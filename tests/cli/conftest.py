"""The command line as a person uses it: real processes, in a folder of their own, on a tiny data set of real WAVs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
MANIFEST = HERE / "tiny_data.toml"
BASELINES = HERE.parent / "baselines_for_tests"

SAMPLE_RATE_HZ = 16_000
CLIP_SAMPLES = 3_200
TONES_HZ = {"low": 300, "high": 3_000, "да": 1_000, "_unknown_": 0}
SPEAKERS = {
    "train": ["anna", "boris", "clara", "dima"],
    "validation": ["eva", "fedor"],
    "test": ["gleb", "hanna", "ivan"],
}

# What the packages of the extra `test` bring along is hidden: LightGBM starts faster, and does without it.
_HIDDEN = ("sklearn", "pandas")
_HIDE_MODULES = """
import os
from importlib.machinery import PathFinder

hidden, find = os.environ["HIDDEN_MODULES"].split(","), PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in hidden else find(name, *rest)
"""
_OF_THE_TERMINAL = ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "KWSBENCH_DATA")


@dataclass(frozen=True)
class Ran:
    """What a process said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as JSON, which has to be all of it."""
        return json.loads(self.out)


@dataclass
class CommandLine:
    """Runs kwsbench in a folder.

    Attributes:
        folder: The current folder of the processes.
        env: Environment variables of all processes.
        before: Words that come before the command, such as a wrapper.
    """

    folder: Path
    env: dict[str, str]
    before: list[str] = field(default_factory=list)

    def command(self, *words: str | Path) -> list[str]:
        """Returns the command as a list for `subprocess`."""
        return [*self.before, sys.executable, "-m", "kwsbench", *map(str, words)]

    def __call__(self, *words: str | Path, env: Mapping[str, str] | None = None, **options: Any) -> Ran:
        """Runs a command to its end."""
        run = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.env | dict(env or {}),
            capture_output=True,
            timeout=120,
            check=False,
            **options,
        )
        return Ran(run.returncode, run.stdout.decode(), run.stderr.decode())

    def works(self, *words: str | Path, **options: Any) -> Ran:
        """Runs a command that has to succeed."""
        ran = self(*words, **options)
        assert ran.code == 0, ran.err
        assert "Error" not in ran.err
        return ran

    def fails(self, code: int, *words: str | Path, says: Sequence[str] = (), **options: Any) -> Ran:
        """Runs a command that has to say one error, exit with `code`, and leave all files as they were."""
        before = self.files()
        ran = self(*words, **options)
        self.check_failure(ran, code, says)
        assert self.files() == before, "files have changed"
        return ran

    def check_failure(self, ran: Ran, code: int, says: Sequence[str] = ()) -> None:
        """One error was said, with these words in it, and nothing else."""
        assert ran.code == code, ran.err
        assert "Traceback" not in ran.err + ran.out
        assert len(re.findall("^Error: ", ran.err, re.MULTILINE)) == 1, ran.err
        assert ran.out == ""
        for part in says:
            assert part in ran.err, ran.err

    def start(
        self, *words: str | Path, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Starts a command and does not wait for it."""
        return subprocess.Popen(self.command(*words), cwd=self.folder, env=self.env | dict(env or {}), **options)

    def files(self, folder: str = ".") -> dict[str, bytes]:
        """Returns every file below the folder, its path to its content."""
        root = self.folder / folder
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Tiny:
    """What every test starts from, made by the commands themselves.

    Attributes:
        audio: The folder with the audio.
        folder: Holds `data/tiny`, `models/tiny/tiny.txt`, `preds.csv` and `scores/preds`.
        ran: What each command said.
    """

    audio: Path
    folder: Path
    ran: dict[str, Ran]


def write_wav(path: Path, samples: np.ndarray, rate_hz: int = SAMPLE_RATE_HZ) -> None:
    """Writes mono 16-bit PCM."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())


def write_audio(root: Path, takes: int = 2) -> None:
    """Writes the clips of the tiny manifest: a tone per keyword, at a pitch of its own in each clip, over noise."""
    random = np.random.default_rng(1)
    time_s = np.arange(CLIP_SAMPLES) / SAMPLE_RATE_HZ
    for split, speakers in SPEAKERS.items():
        for speaker in speakers:
            for label, hz in TONES_HZ.items():
                for take in range(takes):
                    tone = 0.3 * np.sin(2 * np.pi * hz * random.uniform(0.6, 1.6) * time_s)
                    noise = 0.07 * random.normal(size=CLIP_SAMPLES)
                    write_wav(root / split / label / f"{speaker}-{take}.wav", tone + noise)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables for kwsbench, whatever those of the person who runs the tests are."""
    folder = tmp_path_factory.mktemp("python_path")
    (folder / "sitecustomize.py").write_text(_HIDE_MODULES)
    kept = {name: value for name, value in os.environ.items() if name not in _OF_THE_TERMINAL}
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return kept | {"PYTHONPATH": path, "HIDDEN_MODULES": ",".join(_HIDDEN)}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Tiny:
    """The tiny data set, prepared, and a model, predictions and scores for it."""
    audio, folder = tmp_path_factory.mktemp("audio") / "tiny_audio", tmp_path_factory.mktemp("tiny")
    write_audio(audio)
    run = CommandLine(folder, environment)
    model = "models/tiny/tiny.txt"
    return Tiny(
        audio,
        folder,
        {
            "prepare": run.works("data", "prepare", MANIFEST, "--from", audio),
            "train": run.works("train", "tiny", "--baselines", BASELINES, "--manifest", "tiny"),
            "predict": run.works("predict", model, "--baselines", BASELINES, "--manifest", "tiny"),
            "score": run.works("score", "preds.csv", "--replicates", "100"),
        },
    )


@pytest.fixture
def kws(tmp_path: Path, tiny: Tiny, environment: dict[str, str]) -> CommandLine:
    """The command line in a folder of the test's own, in which the tiny data are prepared, predicted and scored."""
    folder = tmp_path / "here"
    shutil.copytree(tiny.folder, folder)
    return CommandLine(folder, dict(environment))


@pytest.fixture
def baselines() -> tuple[str, Path]:
    """The option that names the folder with the baselines for tests."""
    return ("--baselines", BASELINES)
