"""Ctrl-C, kills, and two commands at once: earlier results stay, new ones are whole, and no temporary file is left."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import CommandLine, Tiny

MODEL = "models/tiny/tiny.txt"
LINKS_PER_LABEL = 2_500
PATIENCE_S = 60

# The baseline of the tests, which says when it has begun, and then takes its time.
SLOW = """
import os, time
from pathlib import Path
summarise_at_once, parameters_at_once = summarise, lightgbm_parameters

def summarise(features, config):
    if os.environ["SLOW_AT"] == "features":
        Path("begun").touch()
        time.sleep(1.5)
    return summarise_at_once(features, config)

def lightgbm_parameters(*arguments):
    Path("begun").touch()
    return parameters_at_once(*arguments)
"""
FOREVER = ("--set", "num_boost_round=1000000", "--set", "early_stopping_rounds=1000000")

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux to see how far a process is")


@pytest.fixture
def slow(kws: CommandLine, baselines: tuple) -> CommandLine:
    """The command line in a folder with `slow/tiny.py`, a slow baseline of the name that the model was trained with."""
    (kws.folder / "slow").mkdir()
    (kws.folder / "slow/tiny.py").write_text((baselines[1] / "tiny.py").read_text() + SLOW)
    return kws


def _wait(until: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not until():
        assert process.poll() is None, f"it ended too early, with {process.returncode}"
        assert time.monotonic() < deadline, "it never got there"
        time.sleep(0.01)


def _cpu_time_s(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _has_ended_well(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    out, err = process.communicate(timeout=PATIENCE_S)
    assert out == b""
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert err == b"Error: interrupted; files written before are whole, and nothing was written by halves\n"
    else:
        assert process.returncode == -how
        assert err == b""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
@pytest.mark.parametrize(
    ("words", "at"),
    [
        (("train", "tiny", "--manifest", "tiny", "--baselines", "slow"), "features"),
        (("train", "tiny", "--manifest", "tiny", "--baselines", "slow", *FOREVER), "boosting"),
        (("predict", MODEL, "--manifest", "tiny", "--baselines", "slow"), "features"),
    ],
    ids=["train_features", "train_boosting", "predict"],
)
def test_a_model_at_work_can_be_stopped(
    words: tuple[str, ...], at: str, how: signal.Signals, slow: CommandLine
) -> None:
    """Ctrl-C ends training and predicting with 130 and one line; after it, or a kill, all files are as before."""
    before = slow.files()
    process = slow.start(*words, env={"SLOW_AT": at}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    begun = slow.folder / "begun"
    _wait(begun.exists, process)
    if at == "boosting":
        so_far_s = _cpu_time_s(process)
        _wait(lambda: _cpu_time_s(process) > so_far_s + 0.1, process)
    process.send_signal(how)
    _has_ended_well(process, how)
    begun.unlink()
    shutil.rmtree(slow.folder / "slow/__pycache__", ignore_errors=True)
    assert slow.files() == before


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_scoring_can_be_stopped(how: signal.Signals, kws: CommandLine) -> None:
    """Ctrl-C ends a long bootstrap with 130 and one line; after it, or a kill, the earlier scores are as before."""
    before = kws.files()
    process = kws.start("score", "preds.csv", "--replicates", "400000", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _wait(lambda: _cpu_time_s(process) > 1, process)
    process.send_signal(how)
    _has_ended_well(process, how)
    assert kws.files() == before


def test_preparing_can_be_stopped(kws: CommandLine, tiny: Tiny) -> None:
    """Ctrl-C ends `data prepare`, its bar on the terminal, with 130; after it, or a kill, the earlier table is whole."""
    many = kws.folder.with_name("many")
    for folder in (path for path in tiny.audio.glob("*/*") if path.is_dir()):
        target = many / folder.relative_to(tiny.audio)
        target.mkdir(parents=True)
        clip = min(folder.iterdir())
        for number in range(LINKS_PER_LABEL):
            os.link(clip, target / f"{folder.parent.name}-{number}.wav")
    before = kws.files()
    manifest = tiny.folder / "data/tiny/manifest.toml"
    for how in (signal.SIGINT, signal.SIGKILL):
        ours, theirs = pty.openpty()
        words = ("data", "prepare", manifest, "--from", many, "--partial")
        process = kws.start(*words, env={"TERM": "xterm"}, stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        shown = b""
        while b"preparing" not in shown:
            shown += os.read(ours, 4_096)
        process.send_signal(how)
        shown += _rest(ours)
        out, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == (130 if how == signal.SIGINT else -how)
        assert out == b""
        assert b"Traceback" not in shown
        assert kws.files() == before
    shutil.rmtree(many)


def _rest(terminal: int) -> bytes:
    shown = b""
    try:
        while part := os.read(terminal, 65_536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    return shown


def test_an_impatient_second_interrupt_shows_no_traceback(slow: CommandLine) -> None:
    """Ctrl-C pressed again and again while threads finish their clips ends the command, and never in a traceback."""
    words = ("predict", MODEL, "--manifest", "tiny", "--baselines", "slow")
    process = slow.start(*words, env={"SLOW_AT": "features"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _wait((slow.folder / "begun").exists, process)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    out, err = process.communicate()
    assert process.returncode in (130, -signal.SIGINT)
    assert b"Traceback" not in err, err
    assert out == b""


def test_a_command_at_its_very_beginning_can_be_stopped(kws: CommandLine) -> None:
    """Ctrl-C while the modules are still being imported ends in 130, without a traceback."""
    (kws.folder / "typer.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('it went on')\n"
    )
    code = "import sys; sys.path.insert(0, '.'); from kwsbench.cli import main; main()"
    run = subprocess.run([sys.executable, "-c", code], cwd=kws.folder, env=kws.env, capture_output=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (130, b"", b"")


def _at_once(kws: CommandLine, *commands: tuple[str | Path, ...]) -> None:
    """Runs commands at the same time; all have to succeed."""
    processes = [kws.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for words in commands]
    for process in processes:
        _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err.decode()
        assert b"Traceback" not in err, err


def test_preparing_twice_at_once_gives_the_table(kws: CommandLine, tiny: Tiny) -> None:
    """Two `data prepare` of the same data set end well, and leave the table that one of them gives."""
    words = ("data", "prepare", tiny.folder / "data/tiny/manifest.toml", "--from", tiny.audio, "--data", "new")
    _at_once(kws, words, words)
    assert kws.files("new") == kws.files("data")


def test_training_twice_at_once_gives_the_model(kws: CommandLine, baselines: tuple) -> None:
    """Two `train` to the same new file end well, and leave the model that one of them gives."""
    words = ("train", "tiny", *baselines, "--manifest", "tiny", "-o", "new/model.txt")
    _at_once(kws, words, words)
    assert kws.files("new") == {"model.txt": kws.files()[MODEL]}


def test_scoring_twice_at_once_gives_the_scores(kws: CommandLine) -> None:
    """Two `score` into the same new folder end well, and leave the files that one of them gives."""
    words = ("score", "preds.csv", "--replicates", "100", "--out", "new")
    _at_once(kws, words, words)
    assert kws.files("new") == kws.files("scores/preds")
