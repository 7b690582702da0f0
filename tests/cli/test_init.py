"""`kwsbench init`: a repository for a competition."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from kwsbench.cli.competitions import EXAMPLE, init
from kwsbench.errors import InputError
from kwsbench.leaderboard.rules import read_rules

app = typer.Typer(rich_markup_mode=None)
app.command(epilog=EXAMPLE)(init)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KWSBENCH_DATA", raising=False)


def _run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_it_lists_what_it_made_and_what_to_read(tmp_path: Path) -> None:
    """Every file is named on stdout, and the host's guide on stderr."""
    ran = _run("course")
    assert ran.exit_code == 0, repr(ran.exception)
    assert all((tmp_path / line).is_file() for line in ran.stdout.splitlines())
    assert "course/.github/workflows/validate.yml" in ran.stdout
    assert "predicts nothing" in ran.stderr
    assert "HOST.md" in ran.stderr


def test_options_end_up_in_the_rules(tmp_path: Path) -> None:
    """Title, zone, deadline and private share are those that were given, and the key is said to be a secret."""
    options = ("--timezone", "Europe/Berlin", "--deadline", "2026-12-20T23:59:59", "--private", "0.4")
    ran = _run("course", "--title", "Ten words", *options)
    assert ran.exit_code == 0, repr(ran.exception)
    rules = read_rules(tmp_path / "course" / "leaderboard" / "competition.toml")
    assert (rules.title, rules.timezone) == ("Ten words", "Europe/Berlin")
    assert rules.private is not None
    assert (rules.private.share, str(rules.deadline)) == (0.4, "2026-12-20 23:59:59+01:00")
    assert "is a secret" in ran.stderr


def test_as_json_the_key_is_not_printed(tmp_path: Path) -> None:
    """The JSON names files, and holds no secret."""
    ran = _run("course", "--private", "0.5", "--json")
    assert json.loads(ran.stdout)["example_is_whole"] is False
    assert (tmp_path / "course" / "private_key.txt").read_text(encoding="utf-8").strip() not in ran.output


@pytest.mark.parametrize("words", [("course", "--deadline", "tomorrow"), ("course", "--timezone", "x"), (".",)])
def test_what_cannot_be_is_one_error(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A wrong time, a wrong zone and a folder that is not empty leave nothing behind."""
    (tmp_path / "thesis.tex").write_text("", encoding="utf-8")
    assert isinstance(_run(*words).exception, InputError)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
