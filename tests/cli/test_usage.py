"""How the command line takes wrong usage, and how it explains itself."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import typer

from kwsbench import __version__
from kwsbench.cli.app import app
from kwsbench.manifest import read_manifest
from tests.checkpoints import write_checkpoint
from tests.submission.conftest import fill_in

if TYPE_CHECKING:
    from conftest import CommandLine, Tiny

EXAMPLE = re.compile(r"^ +Example: kwsbench (.+)\n\Z", re.MULTILINE)


def _walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _walk(inner, (*words, name))


COMMANDS = dict(_walk(typer.main.get_command(app)))


def test_there_are_commands() -> None:
    """The walk over the command line finds its commands, those of `data` among them."""
    assert {("train",), ("predict",), ("score",), ("compare",), ("data", "prepare")} <= set(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_ends_with_an_example_on_one_line(words: tuple[str, ...]) -> None:
    """The help of every command says what it is for and ends with one line to copy."""
    command = COMMANDS[words]
    with command.make_context(" ".join(["kwsbench", *words]), [], resilient_parsing=True) as context:
        shown = command.get_help(context) + "\n"
    example = EXAMPLE.search(shown)
    assert example, shown
    assert words == () or shlex.split(example[1])[: len(words)] == list(words) or command.commands


@pytest.mark.parametrize("words", [("-h",), ("predict", "--help"), ("data", "-h")], ids=" ".join)
def test_help_is_printed_on_stdout(words: tuple[str, ...], kws: CommandLine) -> None:
    """`-h` and `--help` work for the program, a group and a command, with exit code 0, narrow as the terminal may be."""
    ran = kws.works(*words, env={"COLUMNS": "60"})
    assert EXAMPLE.search(ran.out)
    assert "Usage: kwsbench" in ran.out
    assert ran.err == ""


def test_version_is_that_of_the_package(kws: CommandLine) -> None:
    """`--version` prints the name and the version, and nothing else."""
    assert kws.works("--version").out == f"kwsbench {__version__}\n"


def test_completion_is_a_script_for_the_shell(kws: CommandLine) -> None:
    """`--show-completion bash` prints a script that completes `kwsbench`."""
    by_name = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # there may be no shell above this process
    shown = kws("--show-completion", "bash", env=by_name)
    assert shown.code == 0
    assert "complete -o default -F _kwsbench_completion kwsbench" in shown.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["scroe", "preds.csv"], "Did you mean 'score'"),
        (["data", "verfy", "tiny"], "Did you mean 'verify'"),
        (["score", "preds.csv", "--manifst", "tiny"], "--manifest"),
        (["score"], "Missing argument 'PREDS'"),
        (["train", "tiny"], "Missing option '--manifest'"),
        (["score", "preds.csv", "--split", "dev"], "'validation'"),
        (["score", "preds.csv", "--replicates", "10"], "100"),
        (["compare", "preds.csv"], "Missing argument 'B.csv'"),
    ],
    ids=lambda value: "_".join(value[:3]) if isinstance(value, list) else "",
)
def test_wrong_usage_exits_with_2_and_a_hint(words: list[str], said: str, kws: CommandLine) -> None:
    """An unknown command or option, a missing argument or an impossible value is one error that says what to do."""
    ran = kws.fails(2, *words, says=[said])
    assert re.search(r"Try 'kwsbench.* -h' for help", ran.err)


def test_no_command_shows_the_help_as_wrong_usage(kws: CommandLine) -> None:
    """`kwsbench` alone lists the commands and exits with 2."""
    ran = kws()
    assert ran.code == 2
    assert "Commands:" in ran.out + ran.err


COMPETITION = {words for words in COMMANDS if words[:1] in {("init",), ("submission",), ("leaderboard",)}}


def _example(*words: str) -> list[str]:
    command = COMMANDS[words]
    with command.make_context("kwsbench", [], resilient_parsing=True) as context:
        example = EXAMPLE.search(command.get_help(context) + "\n")
    assert example
    return shlex.split(example[1])


def test_every_example_works_as_typed(kws: CommandLine, tiny: Tiny) -> None:
    """The examples of all commands run as they are printed, one after the other.

    `data fetch` would use the network: its arguments are only parsed. The other examples of `data` run in full, and
    those that need a model on a stand-in: tones under the name of espeak_12, and a checkpoint that was not trained.
    """
    fetch = _example("data", "fetch")
    COMMANDS["data", "fetch"].make_context("fetch", fetch[2:]).close()
    shutil.rmtree(kws.folder)
    kws.folder.mkdir()
    ran = set()
    for words in (("data", "list"), ("data", "show"), ("data", "synth"), ("data", "prepare"), ("data", "verify")):
        kws.works(*_example(*words))
        ran.add(words)
    _prepare_stand_in(kws, tiny)
    write_checkpoint(kws.folder / "model.pt")
    shutil.copy(tiny.audio / "test/low/ivan-0.wav", kws.folder / "recording.wav")
    of_data = (("data", "sample-submission"), ("train",), ("predict",), ("score",), ("compare",), ("data",), ())
    for words in (*of_data, ("baselines",), ("check-budget",), ("export",), ("listen",)):
        kws.works(*_example(*words))
        ran.add(words)
        if words == ("score",):
            assert (kws.folder / "scores/preds/det.svg").is_file()
    assert (kws.folder / "exports/model.onnx").is_file()
    assert ran | COMPETITION == set(COMMANDS) - {("data", "fetch")}


def test_every_example_of_a_competition_works_as_typed(kws: CommandLine, tiny: Tiny) -> None:
    """From `init` to the grades, the examples run as they are printed, on the same stand-in.

    The report is written between `new` and `seal`, the entry is gone before `unpack` brings it again, and `leaderboard
    serve`, which goes on until it is stopped, is only parsed.
    """
    serve = _example("leaderboard", "serve")
    COMMANDS["leaderboard", "serve"].make_context("serve", serve[2:]).close()
    _prepare_stand_in(kws, tiny)
    write_checkpoint(kws.folder / "model.pt", manifest=read_manifest(kws.folder / "espeak_12.toml"))
    (kws.folder / "leaderboard").mkdir()
    (kws.folder / "leaderboard/competition.toml").write_text('manifest = "espeak_12"\n', encoding="utf-8")
    entry = kws.folder / "submissions/blue-owls/tc-small"
    kws.works(*_example("init"))
    kws.works(*_example("submission", "new"))
    fill_in(entry / "report.md")
    for command in ("seal", "validate", "pack"):
        kws.works(*_example("submission", command))
    shutil.rmtree(entry)
    for command in ("unpack", "verify"):
        kws.works(*_example("submission", command))
    for words in (("submission",), ("leaderboard",)):
        kws.works(*_example(*words))
    for command in ("build", "diff", "grades", "similar"):
        kws.works(*_example("leaderboard", command))
    assert (kws.folder / "site/entries/blue-owls/tc-small.html").is_file()
    assert "blue-owls,tc-small" in (kws.folder / "grades.csv").read_text(encoding="utf-8")


def _prepare_stand_in(kws: CommandLine, tiny: Tiny) -> None:
    """Prepares tones under the name espeak_12, so that its model is trained in a moment."""
    text = (tiny.folder / "data/tiny/manifest.toml").read_text(encoding="utf-8")
    (kws.folder / "espeak_12.toml").write_text(text.replace('name = "tiny"', 'name = "espeak_12"'), encoding="utf-8")
    kws.works("data", "prepare", "./espeak_12.toml", "--from", tiny.audio)
