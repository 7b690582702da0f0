"""`submission.toml`: what is read back is what was written, and every problem is named with its field."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwsbench.errors import InputError
from kwsbench.submission.form import form_text, parse_form, read_form
from kwsbench.submission.names import require_free_text

TABLE: dict[str, Any] = {
    "team": "owls",
    "entry": "small",
    "title": "Small",
    "members": ["Ada", "Alan"],
    "manifest": "tiny",
    "clips_sha256": "a" * 64,
    "split": "test",
    "submitted": datetime(2026, 11, 21, 18, 30, tzinfo=timezone(timedelta(hours=1))),
    "kwsbench": "0.1.0",
    "files": {"model": "model.pt", "predictions": "predictions.csv", "report": "report.md"},
    "sha256": {"model": "b" * 64, "predictions": "c" * 64, "report": "d" * 64},
}


def _with(tmp_path: Path, old: str, new: str) -> Path:
    text = form_text(parse_form(TABLE, Path("x")))
    assert old in text
    path = tmp_path / "submission.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def _is_free(text: str) -> bool:
    try:
        return bool(text) and require_free_text(text) == text
    except ValueError:
        return False


@given(
    st.text(max_size=120).filter(_is_free),
    st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_a_form_is_read_as_it_was_written(title: str, submitted: datetime) -> None:
    """Any title and time come back as they were."""
    form = parse_form({**TABLE, "title": title, "submitted": submitted.replace(microsecond=0)}, Path("x"))
    assert parse_form(tomllib.loads(form_text(form)), Path("x")) == form


BROKEN = [
    ('team = "owls"', 'team = "../owls"', "field team"),
    ('team = "owls"', 'team = "Owls"', "field team"),
    ('entry = "small"', r'entry = "a\u0000b"', "field entry"),
    ('title = "Small"', 'title = "' + "x" * 10_000 + '"', "(10,000 characters)"),
    ('title = "Small"', r'title = "a\u202Eb"', "U+202E"),
    ('title = "Small"', 'title = ""', "field title"),
    ('["Ada", "Alan"]', '"Ada"', "field members"),
    ('["Ada", "Alan"]', r'["a\u0007b"]', "field members.0"),
    ('["Ada", "Alan"]', "[" + '"A", ' * 30 + "]", "field members"),
    ('"tiny"', '"../tiny"', "field manifest"),
    ('split = "test"', 'split = "dev"', "field split"),
    ("2026-11-21T18:30:00+01:00", "2026-11-21T18:30:00", "a local time means another moment"),
    ("2026-11-21T18:30:00+01:00", '"2026-11-21T18:30:00+01:00"', "field submitted"),
    ("2026-11-21T18:30:00+01:00", "2026-11-21", "field submitted"),
    ("2026-11-21T18:30:00+01:00", "0001-01-01T00:00:00+14:00", "a year from 2000"),
    ('"model.pt"', '"../model.pt"', "field files.model"),
    ('"model.pt"', '"/etc/passwd"', "field files.model"),
    ('"model.pt"', '"submission.toml"', "different names"),
    ('"model.pt"', '"Report.md"', "different names"),
    ('"predictions.csv"', '"predictions.txt"', "end in .csv"),
    ('"' + "b" * 64 + '"', '"B"', "field sha256.model"),
    ('kwsbench = "0.1.0"', 'kwsbench = "0.1.0"\nscore = 1.0', "a field that no form has"),
    ('title = "Small"', 'titel = "Small"', "did you mean 'title'?"),
    ('title = "Small"', "", "found nothing"),
    ('title = "Small"', 'title = "Small', "not valid TOML"),
    ('title = "Small"', "title = " + "[" * 5_000, "not valid TOML"),
]


@pytest.mark.parametrize(("old", "new", "says"), BROKEN, ids=lambda text: text[:24])
def test_what_breaks_the_schema_is_named(old: str, new: str, says: str, tmp_path: Path) -> None:
    """A form with one thing wrong is refused, and the message says which."""
    with pytest.raises(InputError) as caught:
        read_form(_with(tmp_path, old, new))
    assert says in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    """Three broken fields are three problems, each with a remedy."""
    path = _with(tmp_path, 'team = "owls"\nentry = "small"', 'team = "Owls"\nentry = ""')
    path.write_text(path.read_text().replace("+01:00", ""), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_form(path)
    assert [problem.where.rpartition(" ")[2] for problem in caught.value.problems] == ["team", "entry", "submitted"]
    assert all(problem.remedy for problem in caught.value.problems)


def test_a_form_that_is_not_read_says_why(tmp_path: Path) -> None:
    """A missing, huge or binary form, and a link in its place, are each told."""
    path = tmp_path / "submission.toml"
    with pytest.raises(InputError, match="no such file"):
        read_form(path)
    path.write_bytes(b"#" * 70_000)
    with pytest.raises(InputError, match="over 65,536 bytes"):
        read_form(path)
    path.write_bytes(b"title = '\xff'")
    with pytest.raises(InputError, match="not UTF-8"):
        read_form(path)
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    with pytest.raises(InputError, match="it is a link"):
        read_form(link)
