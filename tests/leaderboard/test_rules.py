"""The rules of a competition: what may stand in them, what they mean, and what is said of those that are wrong."""

from __future__ import annotations

import contextlib
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.errors import InputError
from kwsbench.leaderboard.local_time import find_zone, instant_of
from kwsbench.leaderboard.rules import read_rules
from kwsbench.leaderboard.toml_lines import place_of
from tests.conftest import REPOSITORY

KEY = "0123456789abcdef0123456789abcdef"

FULL = f"""
title = "Ten commands"
text = "Hello."
manifest = "speech_commands_v2_12"
truth = "truth.csv"
timezone = "Europe/Berlin"
opens = 2026-10-01T09:00:00
deadline = 2026-12-20T23:59:59

[limits]
max_params = 10_000

[late]
days = 3
points_per_day = 1.5

[entries]
per_day = 5
final_per_team = 2
final_by = "named"
named = {{ blue-owls = ["a", "b"] }}

[ranking]
metric = "macro_frr"
ties = "earlier"

[points]
by = "scale"
most = 12
zero_at = 0.3
full_at = "baselines/cnn"

[private]
share = 0.5
key_sha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"
key = "{KEY}"
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "competition.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _problems(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_rules(_write(folder, text))
    return str(caught.value)


def test_a_manifest_and_limits_are_enough(tmp_path: Path) -> None:
    """A file that the budget check alone used to read is a whole set of rules that ask for nothing else."""
    rules = read_rules(_write(tmp_path, 'manifest = "espeak_12"\n[limits]\nmax_params = 7\n'))
    assert (rules.manifest, rules.limits.max_params, rules.split) == ("espeak_12", 7, "test")
    assert (rules.deadline, rules.private, rules.points, rules.entries.per_day) == (None, None, None, None)
    assert (rules.ranking.metric, rules.ranking.ties, rules.hides) == ("accuracy", "band", False)


def test_the_rules_in_the_repository_can_be_read() -> None:
    """The kit's own competition file is valid."""
    assert read_rules(REPOSITORY / "leaderboard" / "competition.toml").manifest is not None


def test_every_field_means_what_it_says(tmp_path: Path) -> None:
    """A file with everything in it comes out as it was written, paths beside the file and times as instants."""
    rules = read_rules(_write(tmp_path, FULL))
    assert rules.truth == tmp_path / "truth.csv"
    assert rules.opens == datetime(2026, 10, 1, 7, tzinfo=UTC)
    assert rules.deadline == datetime(2026, 12, 20, 22, 59, 59, tzinfo=UTC)
    assert (rules.late.days, rules.late.points_per_day, rules.entries.named) == (3, 1.5, {"blue-owls": ("a", "b")})
    assert not rules.ranking.higher_is_better
    assert rules.points is not None
    assert (rules.points.zero_at, rules.points.full_at) == (0.3, "baselines/cnn")
    assert not rules.hides


def test_without_the_key_the_rules_hide(tmp_path: Path) -> None:
    """A private part whose key is not in the rules is hidden."""
    assert read_rules(_write(tmp_path, FULL.replace(f'key = "{KEY}"', ""))).hides


def test_all_problems_are_said_at_once_with_their_lines(tmp_path: Path) -> None:
    """Wrong limits, an unknown manifest, unknown fields, wrong types and contradictions come in one error."""
    said = _problems(
        tmp_path,
        'titel = "x"\nmanifest = "espeak_13"\ndeadline = 2026-01-01T00:00:00\n[limits]\nmax_mac = 4\n[late]\ndays = "3"\n'
        '[points]\nby = "band"\n[private]\nshare = 1.0\n',
    )
    for part in ("line 1: found the unknown field titel", "did you mean 'title'?", "line 5: found the unknown limit"):
        assert part in said
    for part in ("line 3: found deadline", "line 7: found late.days", "line 8: found a contradiction in [points]"):
        assert part in said
    for part in ("line 11: found private.share", "line 10: found no private.key_sha256"):
        assert part in said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("deadline = 2026-12-20T23:59:59", 'timezone = "Europe/Berlin"'),
        ('timezone = "UTC"\ndeadline = 2026-12-20', "a date and a time of day"),
        ('timezone = "UTC"\ndeadline = "tomorrow"', "a date and a time of day"),
        ('timezone = "Europe/Berlim"', "the name of a time zone"),
        ('timezone = "../etc/passwd"', "the name of a time zone"),
        ("opens = 2026-02-01T00:00:00Z\ndeadline = 2026-01-01T00:00:00Z", "the deadline is not after the opening"),
        ("[late]\ndays = 1", "[late] needs a deadline"),
        ('[points]\nby = "band"\nbands = [1, 2]', "bands must not rise"),
        ('[points]\nby = "scale"\nzero_at = 1\nfull_at = 1', "must differ"),
        ('[entries]\nnamed = { a = ["b"] }', "final_by"),
        ('[entries]\nfinal_per_team = 1\nfinal_by = "named"\nnamed = { a = ["b", "c"] }', "more than final_per_team"),
        ('[ranking]\nmetric = "acuracy"', "ranking.metric"),
        ('title = "a\\u0007b"', "without control characters"),
        (f'[private]\nshare = 0.5\nkey_sha256 = "{"0" * 64}"\nkey = "{KEY}"', "not the one whose hash"),
        (f'[private]\nshare = 0.5\nkey_sha256 = "{"0" * 64}"\nkey = "short"', "can be guessed"),
    ],
)
def test_what_cannot_be_is_an_error(tmp_path: Path, line: str, words: str) -> None:
    """Times without a zone, zones that are none, contradictions, and keys that do not fit are told."""
    assert words in _problems(tmp_path, f"{line}\n")


@pytest.mark.parametrize(
    ("time", "instants"),
    [
        ("2026-10-25T02:30:00", ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00")),
        ("2026-03-29T02:30:00", ("2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00")),
    ],
)
def test_a_deadline_while_the_clocks_change_asks_which_instant_is_meant(
    tmp_path: Path, time: str, instants: tuple[str, str]
) -> None:
    """A local time that comes twice, or never, is an error that names the two instants that could be meant."""
    said = _problems(tmp_path, f'timezone = "Europe/Berlin"\ndeadline = {time}\n')
    assert all(instant in said for instant in instants)
    for instant in instants:
        rules = read_rules(_write(tmp_path, f'timezone = "Europe/Berlin"\ndeadline = {instant}\n'))
        assert rules.deadline == datetime.fromisoformat(instant)


@given(st.integers(0, 365 * 48), st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe"]))
def test_an_instant_shows_the_local_time_or_is_asked_for(half_hours: int, name: str) -> None:
    """Every local time is an instant at which the clocks show it, or an error; nothing else, in any zone."""
    zone = find_zone(name)
    local = datetime.fromisoformat("2026-01-01T00:15:00") + timedelta(minutes=30 * half_hours)
    candidates = {(local - timedelta(minutes=30 * half)).replace(tzinfo=UTC) for half in range(-2, 24)}
    shown = [moment for moment in candidates if moment.astimezone(zone).replace(tzinfo=None) == local]
    if len(shown) == 1:
        assert instant_of(local, zone) == shown[0]
        return
    with pytest.raises(ValueError, match=" or "):
        instant_of(local, zone)


@settings(max_examples=60)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_anything_else_is_an_input_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever bytes a file of rules holds, it is read, or it is refused with a message."""
    path = tmp_path_factory.mktemp("rules") / "competition.toml"
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        read_rules(path)


def test_a_file_that_is_too_long_or_missing_is_said_to_be(tmp_path: Path) -> None:
    """Rules of a megabyte are not read, and rules that are not there are not there."""
    assert "longer than" in _problems(tmp_path, "#" * (1 << 20))
    with pytest.raises(InputError, match="no such file"):
        read_rules(tmp_path / "none.toml")


def test_lines_in_long_texts_are_not_taken_for_fields() -> None:
    """A key inside of a text of several lines is not where that key stands."""
    text = 'text = """\ntitle = 1\n"""\ntitle = 2\n'
    assert place_of(("title",), text, "c.toml") == "c.toml, line 4"
