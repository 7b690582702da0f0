"""Making an entry from a model: all of it or nothing, and never over another."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kwsbench.errors import InputError, KwsbenchError
from kwsbench.submission import scaffold
from kwsbench.submission.form import read_form
from kwsbench.submission.judging import judge
from kwsbench.submission.scaffold import Wish, create, seal
from tests.submission.conftest import Ground, fill_in


def test_a_new_entry_lacks_the_report_alone(ground: Ground, tmp_path: Path) -> None:
    """What is made from a model is valid but for the report, and with that filled in and sealed it is valid."""
    made = create(Wish("owls/small", ground.model, tmp_path, "Small & good", ("Ada", "Alan")), ground.house)
    assert made.folder == tmp_path / "owls" / "small"
    assert made.num_clips == 24
    assert (made.folder / "model.txt").read_bytes() == ground.model.read_bytes()
    form = read_form(made.folder / "submission.toml")
    assert (form.title, form.members) == ("Small & good", ("Ada", "Alan"))
    assert abs(datetime.now(UTC) - form.submitted).total_seconds() < 3_600
    problems = judge(made.folder, ground.house).problems
    assert problems
    assert all("report.md, section" in problem.where for problem in problems)
    fill_in(made.folder / "report.md")
    seal(made.folder)
    judged = judge(made.folder, ground.house)
    assert judged.problems == ()
    assert judged.predictions is not None
    assert judged.predictions.scores is not None


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "link", "case"])
def test_what_is_there_stays(kind: str, ground: Ground, tmp_path: Path) -> None:
    """Whatever has the name of the entry is not written over, and the model is not even run."""
    place = tmp_path / "owls" / ("Small" if kind == "case" else "small")
    place.parent.mkdir()
    if kind == "link":
        place.symlink_to(tmp_path / "nothing")
    elif kind == "file":
        place.write_text("mine")
    else:
        place.mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"already|in case alone"):
        create(Wish("owls/small", tmp_path / "no such model", tmp_path), ground.house)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("key", ["../x/y", "Owls/small", "owls/" + "x" * 10_000, "owls/a\0b", "owls"])
def test_a_hostile_name_makes_nothing(key: str, ground: Ground, tmp_path: Path) -> None:
    """A name that leads elsewhere, or is none, is refused before anything is done."""
    with pytest.raises(InputError):
        create(Wish(key, ground.model, tmp_path / "root"), ground.house)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("title", "member"), [("a\u202eb", "Ada"), ("x" * 121, "Ada"), ("fine", "a\nb")])
def test_hostile_text_makes_nothing(title: str, member: str, ground: Ground, tmp_path: Path) -> None:
    """Text that hides something is refused, with its field."""
    with pytest.raises(InputError) as caught:
        create(Wish("owls/small", ground.model, tmp_path, title, (member,)), ground.house)
    assert "field title" in str(caught.value) or "field members" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_on_the_way_leaves_nothing(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last file cannot be made, none is there."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scaffold, "_sealed", fail)
    with pytest.raises(KwsbenchError):
        create(Wish("owls/small", ground.model, tmp_path), ground.house)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_entry_that_appears_meanwhile_stays(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry of the same name that somebody else makes while the model runs is not written over."""
    sealed = scaffold._sealed

    def meanwhile(form: object, folder: Path) -> object:
        (tmp_path / "owls" / "small").mkdir()
        return sealed(form, folder)  # type: ignore[arg-type]

    monkeypatch.setattr(scaffold, "_sealed", meanwhile)
    with pytest.raises(InputError, match="already"):
        create(Wish("owls/small", ground.model, tmp_path), ground.house)
    assert list((tmp_path / "owls" / "small").iterdir()) == []


def test_a_model_that_changes_meanwhile_is_told(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Predictions, counts and the copied file are of the same bytes, or nothing is made."""
    monkeypatch.setattr(scaffold, "_read", lambda _: b"other")
    with pytest.raises(InputError, match="changed while it was read"):
        create(Wish("owls/small", ground.model, tmp_path), ground.house)
    assert list(tmp_path.iterdir()) == []


def test_without_data_nothing_can_be_predicted(ground: Ground, tmp_path: Path) -> None:
    """Where the clips are not prepared the message says how to prepare them."""
    house = dataclasses.replace(ground.house, manifest=str(ground.dataset.folder / "manifest.toml"), data=None)
    with pytest.raises(InputError, match="kwsbench data prepare"):
        create(Wish("owls/small", ground.model, tmp_path), house)


def test_a_seal_is_for_what_has_changed(entry: Path) -> None:
    """Sealed again without a change, a form stays byte for byte; after one, hashes and time are new."""
    before = (entry / "submission.toml").read_bytes()
    seal(entry)
    assert (entry / "submission.toml").read_bytes() == before
    with (entry / "report.md").open("a") as file:
        file.write("\nMore.\n")
    old, new = read_form(entry / "submission.toml"), seal(entry)
    assert new.sha256.report != old.sha256.report
    assert (new.sha256.model, new.title) == (old.sha256.model, old.title)
    assert new.submitted >= old.submitted
