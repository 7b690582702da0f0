"""`kwsbench submission` as a team and a host use it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import CommandLine

MODEL = "models/tiny/tiny.txt"
ENTRY = "submissions/blue-owls/tones"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny: object, environment: dict[str, str], baselines: tuple) -> Path:
    """A folder with data, a model, and an entry made from it, its report filled in and sealed."""
    from tests.cli.conftest import CommandLine as Runner

    folder = tmp_path_factory.mktemp("made") / "here"
    shutil.copytree(tiny.folder, folder)  # type: ignore[attr-defined]
    kws = Runner(folder, dict(environment))
    ran = kws.works("submission", "new", "blue-owls/tones", "--model", MODEL, "--manifest", "tiny", *baselines)
    assert ran.out == f"{ENTRY}: 24 clips predicted; no limits given\n"
    next_commands = re.findall("^Next: kwsbench (.+)$", ran.err, re.MULTILINE)
    report = folder / ENTRY / "report.md"
    report.write_text(re.sub(r"(?m)^\*.*\*$", "We did it.", report.read_text()))
    for command in next_commands:
        kws.works(*command.split())
    assert [command.split()[1] for command in next_commands] == ["seal", "validate"]
    return folder


@pytest.fixture(scope="module")
def baselines() -> tuple[str, str]:
    """The option that names the folder with the baselines for tests."""
    return ("--baselines", str(Path(__file__).parents[1] / "baselines_for_tests"))


@pytest.fixture
def here(made: Path, kws: CommandLine) -> CommandLine:
    """The command line beside an entry that is as it should be."""
    shutil.copytree(made / "submissions", kws.folder / "submissions")
    return kws


def test_a_team_makes_validates_packs_and_a_host_verifies(here: CommandLine, baselines: tuple) -> None:
    """From a model to a verified entry, through a zip, by the commands that each step names."""
    here.works("submission", "pack", ENTRY, "-o", "entry.zip")
    ran = here.works("submission", "unpack", "entry.zip", "--into", "received")
    assert ran.out == "received/blue-owls/tones\n"
    words = ("submission", "verify", "--all", "--submissions", "received", "--cache", "cache", *baselines)
    ran = here.works(*words, "--json")
    (record,) = ran.json
    assert record["verdict"] == "verified", record
    assert record["folder"] == "received/blue-owls/tones"
    assert record["num_compared"] == 24
    assert re.fullmatch(r"1/1 received/blue-owls/tones: verified \(\d+\.\d s\)\n", ran.err)
    again = here.works(*words)
    assert re.search(r"^received/blue-owls/tones +verified +\d+\.\d\d % +all 24 predictions", again.out, re.MULTILINE)


def test_validate_says_everything_and_exits_with_1(here: CommandLine, baselines: tuple) -> None:
    """Two entries, one of them with two problems: all of it is printed, and as JSON."""
    bad = here.folder / "submissions/blue-owls/bad"
    shutil.copytree(here.folder / ENTRY, bad)
    (bad / "evil\x1b[2J.html").write_text("")
    ran = here("submission", "validate", ENTRY, "submissions/blue-owls/bad", *baselines)
    assert ran.code == 1
    assert f"{ENTRY}: valid\n" in ran.out
    assert "submissions/blue-owls/bad: 1 problem\n  - " in ran.out
    assert "what the folder is called, 'bad'" in ran.out
    assert "\x1b" not in ran.out
    shown = here("submission", "validate", ENTRY, "submissions/blue-owls/bad", *baselines, "--json")
    assert shown.code == 1
    assert [record["valid"] for record in shown.json] == [True, False]


def test_the_rules_of_the_competition_hold(here: CommandLine, baselines: tuple) -> None:
    """`leaderboard/competition.toml` in the current folder, or --competition, limits what is valid and verified."""
    (here.folder / "leaderboard").mkdir()
    (here.folder / "leaderboard/competition.toml").write_text('manifest = "../data/tiny/manifest.toml"\n')
    rules = here.folder / "strict.toml"
    rules.write_text('manifest = "data/tiny/manifest.toml"\n[limits]\nmax_params = 3\n')
    here.works("submission", "validate", ENTRY, *baselines)
    ran = here("submission", "validate", ENTRY, "--competition", "strict.toml", *baselines)
    assert ran.code == 1
    assert "over 3" in ran.out


def test_without_data_the_rest_is_validated(here: CommandLine, baselines: tuple) -> None:
    """A team's page of CI without audio checks form, report and budget, and says that rows were not checked."""
    manifest = here.folder / "data/tiny/manifest.toml"
    shutil.copy(manifest, here.folder / "tiny.toml")
    shutil.rmtree(here.folder / "data")
    (here.folder / "rules.toml").write_text('manifest = "tiny.toml"\n')
    ran = here.works("submission", "validate", ENTRY, "--competition", "rules.toml", *baselines)
    assert "rows of the predictions were not checked: tiny is not prepared" in ran.err


def test_a_verdict_other_than_verified_is_exit_1(here: CommandLine, baselines: tuple) -> None:
    """Without running anything nothing is verified, which is a failed check and no error."""
    ran = here("submission", "verify", ENTRY, "--no-run", "--cache", "cache", "--json", *baselines)
    assert ran.code == 1
    assert ran.json[0]["verdict"] == "predictions only"


def test_an_entry_is_not_overwritten(here: CommandLine, baselines: tuple) -> None:
    """`new` and `unpack` leave what is there as it is."""
    words = ("--model", MODEL, "--manifest", "tiny", *baselines)
    here.fails(2, "submission", "new", "blue-owls/tones", *words, says=["already"])
    here.works("submission", "pack", ENTRY)
    here.fails(2, "submission", "unpack", "blue-owls-tones.zip", says=["--replace"])
    here.works("submission", "unpack", "blue-owls-tones.zip", "--replace", "--json")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("new", "../x/y", "--model", MODEL, "--manifest", "tiny"), "TEAM/ENTRY"),
        (("new", "Owls/" + "x" * 10_000, "--model", MODEL, "--manifest", "tiny"), "10,000 characters"),
        (("new", "owls/a", "--model", MODEL), "--manifest"),
        (("verify",), "--all"),
        (("verify", "x", "--all"), "--all"),
        (("verify", "--all", "--submissions", "nowhere"), "--submissions"),
        (("pack", "nowhere"), "no entry"),
        (("unpack", "preds.csv"), "archive"),
        (("seal", "nowhere"), "no such file"),
    ],
    ids=["up", "long", "manifest", "none", "both", "root", "pack", "unpack", "seal"],
)
def test_wrong_usage_is_one_message(words: tuple[str, ...], says: str, kws: CommandLine) -> None:
    """Each mistake is one line with its remedy, and nothing is written."""
    kws.fails(2, "submission", *words, says=[says])


def test_json_is_json(here: CommandLine, baselines: tuple) -> None:
    """What `new`, `seal` and `pack` did is there for programs, too."""
    words = ("--model", MODEL, "--manifest", "tiny", *baselines)
    made = here.works(
        "submission", "new", "red-foxes/two", *words, "--title", "=HYPERLINK(1)", "--member", "Ada", "--json"
    )
    assert made.json["clips"] == 24
    assert made.json["within_budget"] is True
    sealed = here.works("submission", "seal", "submissions/red-foxes/two", "--json")
    assert json.loads(sealed.out)["submissions/red-foxes/two"]["title"] == "=HYPERLINK(1)"
    packed = here.works("submission", "pack", "submissions/red-foxes/two", "--json")
    assert packed.json["key"] == "red-foxes/two"
