"""What `validate` and `verify` have in common."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kwsbench.errors import InputError
from kwsbench.submission import judging
from kwsbench.submission.judging import House, judge, terms_of
from kwsbench.submission.record import content_sha256
from tests.submission.conftest import Ground, edit

MakeEntry = Callable[..., Path]


def _told(folder: Path, house: House) -> str:
    return "\n".join(map(str, judge(folder, house).problems))


def test_a_good_entry_has_no_problem(entry: Path, house: House) -> None:
    """Everything about it is known, its accuracy among it."""
    judged = judge(entry, house)
    assert judged.problems == ()
    assert judged.content_sha256 == content_sha256(entry)
    assert judged.tier == 2
    score = judged.score()
    assert score is not None
    assert score.value("accuracy") == judged.accuracy
    assert score.num_clips == 24


def test_everything_that_is_wrong_is_said_at_once(make_entry: MakeEntry, house: House) -> None:
    """A missing row, an unknown label, an unfinished report, a strange file: one look finds all, with remedies."""

    def spoil(folder: Path) -> None:
        lines = (folder / "predictions.csv").read_text(encoding="utf-8").splitlines()
        lines[2] = lines[2].replace(",low,", ",loud,").replace(",high,", ",loud,").replace(",да,", ",loud,")
        lines[2] = lines[2].replace(",_unknown_,", ",loud,")
        (folder / "predictions.csv").write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
        edit(folder / "report.md", "## Idea", "## Ideas")
        (folder / "notes.txt").write_text("x")

    told = _told(make_entry("bad", spoil), house)
    for part in ("no row for", "'loud'", "section Idea", "notes.txt"):
        assert part in told
    assert told.count("\n") == 3


def test_a_file_that_changed_after_the_seal_is_told(make_entry: MakeEntry, house: House) -> None:
    """Each of the three files is held against its hash, and the remedy names the command."""
    for name in ("report.md", "predictions.csv", "model.txt"):
        folder = make_entry(name.partition(".")[0], sealed=False)
        path = folder / name
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        told = _told(folder, house)
        assert f"{name}: found another content" in told
        assert "kwsbench submission seal" in told


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('split = "test"', 'split = "validation"', "field split: found 'validation', expected 'test'"),
        ('manifest = "tiny"', 'manifest = "espeak_12"', "field manifest: found 'espeak_12', expected 'tiny'"),
        ('clips_sha256 = "', f'clips_sha256 = "{"0" * 64}" # ', "field clips_sha256"),
    ],
    ids=["split", "manifest", "clips"],
)
def test_predictions_of_other_clips_are_told(old: str, new: str, says: str, entry: Path, house: House) -> None:
    """An entry for another benchmark, split or preparation of the data is invalid."""
    edit(entry / "submission.toml", old, new)
    assert says in _told(entry, house)


def test_an_unknown_benchmark_is_the_entrys_problem(entry: Path, house: House) -> None:
    """Where the entry's own word counts, a benchmark that nobody knows is a problem; a house's own is an error."""
    edit(entry / "submission.toml", 'manifest = "tiny"', 'manifest = "nothing"')
    assert "field manifest" in _told(entry, dataclasses.replace(house, manifest=None, data=None))
    with pytest.raises(InputError, match="nothing"):
        judge(entry, dataclasses.replace(house, manifest="nothing"))


def test_a_pickle_is_a_refusal(make_entry: MakeEntry, house: House, tmp_path: Path) -> None:
    """A model that would run code is refused and not run; the rest of the entry is judged as ever."""
    marker = tmp_path / "it ran"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (marker,)

    judged = judge(make_entry("evil", lambda folder: (folder / "model.txt").write_bytes(pickle.dumps(Evil()))), house)
    assert not marker.exists()
    assert judged.refusal or judged.problems
    assert judged.predictions is not None


def test_a_file_that_is_no_model_is_a_problem(make_entry: MakeEntry, house: House) -> None:
    """Audio in the place of a model is told as what it is."""
    folder = make_entry("wav", lambda folder: (folder / "model.txt").write_bytes(b"RIFF\x24\0\0\0WAVEfmt \0"))
    assert "it seems to be audio" in _told(folder, house)


def test_without_data_rows_are_not_checked(entry: Path, ground: Ground, tmp_path: Path) -> None:
    """A machine that has neither clips nor truth judges the rest, and says what it could not."""
    judged = judge(entry, House(str(ground.dataset.folder / "manifest.toml")))
    assert judged.problems == ()
    assert judged.predictions is None
    assert judged.accuracy is None
    assert judged.terms is not None
    assert "is not prepared" in judged.terms.why_not
    with pytest.raises(InputError, match="is not prepared"):
        judge(entry, House(str(ground.dataset.folder / "manifest.toml"), data=tmp_path / "nowhere"))


def test_a_truth_table_is_enough_to_score(entry: Path, ground: Ground, tmp_path: Path) -> None:
    """With a truth table rows are checked and scored without audio, in whatever order it has."""
    rows = ground.dataset.split("test").sort("pcm_sha256")
    truth = tmp_path / "truth.csv"
    rows.select("path", "label", "speaker_id").write_csv(truth)
    manifest = str(ground.dataset.folder / "manifest.toml")
    alone = judge(entry, House(manifest, truth=truth))
    beside = judge(entry, dataclasses.replace(ground.house, truth=truth))
    assert alone.accuracy == beside.accuracy == judge(entry, ground.house).accuracy
    rows.head(5).select("path", "label").write_csv(truth)
    with pytest.raises(InputError, match="its clips are others"):
        judge(entry, dataclasses.replace(ground.house, truth=truth))


def test_terms_are_read_once_and_again_when_the_table_changes(ground: Ground, tmp_path: Path) -> None:
    """The same house has the same terms, until `clips.csv` is another."""
    shutil.copytree(ground.dataset.folder, tmp_path / "data" / "tiny")
    house = House("tiny", data=tmp_path / "data")
    terms = terms_of(house, "tiny")
    assert terms_of(house, "tiny") is terms
    table = tmp_path / "data" / "tiny" / "clips.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    assert terms_of(house, "tiny").clips_sha256 != terms.clips_sha256


def test_an_entry_that_changes_while_it_is_read_is_told(
    entry: Path, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said of an entry is said of one content: an edit in the middle is a problem, and nothing else is said."""
    read = judging.report_problems

    def edited(path: Path, files: list[str]) -> list[object]:
        (entry / "predictions.csv").write_text("path,label\n", encoding="utf-8")
        return list(read(path, files))

    monkeypatch.setattr(judging, "report_problems", edited)
    judged = judge(entry, house)
    assert [problem.found for problem in judged.problems] == ["a change while it was read"]
    assert judged.predictions is None


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_what_is_no_folder_is_told(kind: str, tmp_path: Path, house: House) -> None:
    """A path that is not there, a file, or an empty folder is an entry with a problem, and no error."""
    folder = tmp_path / "owls" / "small"
    folder.parent.mkdir()
    if kind == "file":
        folder.write_text("x")
    elif kind == "empty":
        folder.mkdir()
    assert judge(folder, house).problems


def test_predictions_that_are_a_link_are_not_followed(make_entry: MakeEntry, house: House, tmp_path: Path) -> None:
    """A link in the place of a file is told, and what it leads to is not read."""
    secret = tmp_path / "secret.csv"
    secret.write_text("path,label\nsecret,secret\n")

    def link(folder: Path) -> None:
        (folder / "predictions.csv").unlink()
        (folder / "predictions.csv").symlink_to(secret)

    folder = make_entry("link", link, sealed=False)
    told = _told(folder, house)
    assert "predictions.csv: found a link" in told
    assert "secret,secret" not in told
