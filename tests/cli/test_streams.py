"""What goes to stdout, what to stderr, and what terminals, pipes and other alphabets make of it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import CommandLine, Tiny

MODEL = "models/tiny/tiny.txt"
ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7]|4[0-8])[;m]")
REPORTS = {
    "list": ("data", "list"),
    "show": ("data", "show", "tiny"),
    "verify": ("data", "verify", "tiny"),
    "sample-submission": ("data", "sample-submission", "tiny", "-o", "sample.csv"),
    "score": ("score", "preds.csv", "--manifest", "tiny"),
    "compare": ("compare", "preds.csv", "preds.csv"),
}


@pytest.mark.parametrize("words", REPORTS.values(), ids=REPORTS)
def test_json_is_all_that_stdout_holds(words: tuple[str, ...], kws: CommandLine) -> None:
    """`--json` prints one JSON document on stdout and nothing else."""
    assert kws.works(*words, "--json").json


def test_json_of_preparing_training_and_predicting(tiny: Tiny, kws: CommandLine, baselines: tuple) -> None:
    """The commands that write files report in JSON what they wrote, with no note or warning in between."""
    (kws.folder / "long.wav").write_bytes(_wav(samples=9_000))
    manifest = tiny.folder / "data/tiny/manifest.toml"
    prepared = kws.works("data", "prepare", manifest, "--from", tiny.audio, "--json").json
    assert prepared["clips"]["train"] == {"low": 8, "high": 8, "да": 8, "_unknown_": 8}
    talkative = (baselines[1] / "tiny.py").read_text().replace('"verbosity": -1', '"verbosity": 2')
    (kws.folder / "talkative.py").write_text(talkative)
    trained = kws.works("train", "talkative.py", "--manifest", "tiny", "--set", "boosting=dart", "--json")
    assert trained.json["num_train_clips"] == 32
    assert "dart" in trained.err, "LightGBM's warning is said, and not on stdout"
    predicted = kws.works("predict", MODEL, "long.wav", *baselines, "--json")
    assert predicted.json == {"predictions": "preds.csv", "clips": 1, "labels": ["low", "high", "да", "_unknown_"]}
    assert predicted.err == "1 of 1 files are longer: only their first 0.2 s were heard.\n"


def _wav(samples: int) -> bytes:
    import io
    import wave

    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(b"\x01\x02" * samples)
    return file.getvalue()


def test_a_failed_check_still_prints_its_json(kws: CommandLine) -> None:
    """`data verify --json` prints its result on stdout, the error on stderr, and exits with 1."""
    table = kws.folder / "data/tiny/clips.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("test/low/ivan-0.wav", "test/low/olga-0.wav"), "utf-8")
    ran = kws("data", "verify", "tiny", "--json")
    assert ran.code == 1
    assert len(ran.json["missing"]) == 1
    assert ran.err.count("Error:") == 1


def test_a_damaged_data_set_does_not_hide_the_others(kws: CommandLine) -> None:
    """`data list` leaves out what it cannot read, says so on stderr, and lists the rest."""
    broken = kws.folder / "data/broken"
    broken.mkdir()
    (broken / "prepared.json").write_text("{}")
    (broken / "manifest.toml").write_text("name = ")
    ran = kws.works("data", "list", "--json")
    assert {"name": "tiny", "state": "prepared"}.items() <= ran.json[-1].items()
    assert ran.err.startswith("broken is left out")


def test_no_escape_codes_where_there_is_no_terminal(kws: CommandLine, baselines: tuple) -> None:
    """Through pipes, neither results nor errors nor progress hold escape codes or carriage returns."""
    shown = [
        kws.works("predict", MODEL, *baselines, "--manifest", "tiny"),
        kws.works("score", "preds.csv"),
        kws("score", "nothing.csv"),
    ]
    for ran in shown:
        assert ESCAPE not in ran.out + ran.err
        assert "\r" not in ran.out + ran.err
    assert "features of" not in shown[0].err


def _on_a_terminal(kws: CommandLine, *words: str | Path, **env: str) -> tuple[str, bytes]:
    """Runs a command with a terminal as stderr; returns what the terminal was sent, and stdout."""
    ours, theirs = pty.openpty()
    process = kws.start(*words, env={"TERM": "xterm-256color", **env}, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    sent = b""
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        sent += part
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert process.returncode in (0, 2)
    return sent.decode(), out


def test_a_terminal_shows_a_coloured_bar_on_stderr_only(tiny: Tiny, kws: CommandLine) -> None:
    """On a terminal the progress bar appears on stderr, in colour, and stdout holds the result alone."""
    words = ("data", "prepare", tiny.folder / "data/tiny/manifest.toml", "--from", tiny.audio, "--json")
    sent, out = _on_a_terminal(kws, *words)
    assert "preparing tiny" in sent
    assert COLOUR.search(sent)
    assert json.loads(out)["complete"] is True


def test_no_color_takes_the_colours_away(tiny: Tiny, kws: CommandLine) -> None:
    """With NO_COLOR a terminal shows the bar and the error without colours."""
    words = ("data", "prepare", tiny.folder / "data/tiny/manifest.toml", "--from", tiny.audio, "--json")
    sent, _ = _on_a_terminal(kws, *words, NO_COLOR="1")
    assert "preparing tiny" in sent
    assert not COLOUR.search(sent)
    assert COLOUR.search(_on_a_terminal(kws, "score", "nothing.csv")[0])
    assert not COLOUR.search(_on_a_terminal(kws, "score", "nothing.csv", NO_COLOR="1")[0])


def test_cyrillic_labels_survive_a_terminal_that_cannot_show_them(kws: CommandLine) -> None:
    """Where stdout is ASCII, tables show an escaped label, and JSON is escaped such that nothing is lost."""
    ascii_only = {"LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "ascii"}
    assert r"\u0434\u0430" in kws.works("score", "preds.csv", env=ascii_only).out
    (kws.folder / "truth.csv").write_text("path,label\na,да\nb,né\nc,🎉\n", encoding="utf-8")
    shown = kws.works("score", "truth.csv", "--truth", "truth.csv", "--json", env=ascii_only)
    assert shown.json["keywords"] == ["né", "да", "🎉"]
    assert r"\u043d\u0435\u0442" in kws("data", "show", "нет", env=ascii_only).err


def test_a_locale_that_cannot_name_the_files_is_one_message(kws: CommandLine) -> None:
    """Where file names are ASCII by force, the command says what to set instead of showing a traceback."""
    ascii_files = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    kws.fails(2, "data", "verify", "tiny", env=ascii_files, says=["ascii", "PYTHONUTF8=1"])


@pytest.mark.parametrize("words", [("data", "list"), ("score", "preds.csv", "--json"), ("--help",)], ids=" ".join)
@pytest.mark.parametrize("both", [False, True], ids=["stdout", "both"])
def test_a_reader_that_has_gone_is_no_error(words: tuple[str, ...], both: bool, kws: CommandLine) -> None:  # noqa: FBT001
    """Into a closed pipe, as with `| head -1`, nothing is said: neither error nor traceback."""
    ours, theirs = os.pipe()
    os.close(ours)
    process = kws.start(*words, stdout=theirs, stderr=theirs if both else subprocess.PIPE)
    os.close(theirs)
    _, said = process.communicate(timeout=60)
    assert not said
    assert process.returncode == 141


def test_a_closed_stdout_does_not_end_up_in_the_files(kws: CommandLine) -> None:
    """With stdout and stderr closed the files are written as ever, and hold nothing that was meant for a reader."""
    earlier = kws.files("scores/preds")
    words = kws.command("score", "preds.csv", "--replicates", "100")
    run = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" >&- 2>&-', *words], cwd=kws.folder, env=kws.env, timeout=60, check=False
    )
    assert run.returncode == 0
    assert kws.files("scores/preds") == earlier


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [("data", "list", "--json"), ("score", "preds.csv"), ("--help",)], ids=" ".join)
def test_a_result_that_cannot_be_printed_is_an_error(words: tuple[str, ...], kws: CommandLine) -> None:
    """Where stdout is a full disk the command says so and exits with 2."""
    with Path("/dev/full").open("wb") as full:
        run = subprocess.run(
            kws.command(*words), cwd=kws.folder, env=kws.env, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert run.returncode == 2
    assert run.stderr.decode() == "Error: no space left on device\n"
