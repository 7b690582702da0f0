"""The files of an entry: what names them, what is found, and what none may hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kwsbench.errors import InputError
from kwsbench.submission import folder as folder_module
from kwsbench.submission.folder import content_sha256, files_of, find_submissions, inventory_problems, is_picture

FILES = {"model": "model.pt", "predictions": "predictions.csv", "report": "report.md"}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A folder with the four files of an entry and a picture."""
    folder = tmp_path / "owls" / "small"
    (folder / "pictures").mkdir(parents=True)
    for name in ("submission.toml", *FILES.values(), "pictures/a.png"):
        (folder / name).write_text(name)
    return folder


def test_every_entry_is_found_whatever_it_is_called(tmp_path: Path) -> None:
    """Folders of two levels are found in order, links among them; files and hidden folders are not."""
    for name in ("b/x", "a/y", "a/Ü !", ".git/x", "a/.tmp", "__pycache__/x"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "README.md").write_text("")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b" / "x")
    found = [path.relative_to(tmp_path).as_posix() for path in find_submissions(tmp_path)]
    assert found == sorted(["a/link", "a/y", "a/Ü !", "b/x"])


def test_no_folder_of_submissions_is_one_message(tmp_path: Path) -> None:
    """Where there is no folder, the message says which option names it."""
    with pytest.raises(InputError, match="--submissions"):
        find_submissions(tmp_path / "none")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "report.md").write_text("other"),
        lambda folder: (folder / "report.md").rename(folder / "Report.md"),
        lambda folder: (folder / "new.txt").write_text(""),
        lambda folder: (folder / "model.pt").unlink(),
        lambda folder: (folder / "new").symlink_to("model.pt"),
    ],
    ids=["content", "name", "new", "gone", "link"],
)
def test_the_hash_follows_names_and_contents(whole: Path, change: object) -> None:
    """Another content, another name, a file more or less: each gives another hash."""
    before = content_sha256(whole)
    change(whole)  # type: ignore[operator]
    assert content_sha256(whole) != before


def test_the_hash_does_not_follow_times_and_places(whole: Path, tmp_path: Path) -> None:
    """The same files elsewhere, at another time, have the same hash."""
    before = content_sha256(whole)
    os.utime(whole / "model.pt", (1, 1))
    whole.rename(tmp_path / "elsewhere")
    assert content_sha256(tmp_path / "elsewhere") == before


def test_where_a_name_ends_is_part_of_the_hash(tmp_path: Path) -> None:
    """A letter that moves from a name to a content gives another hash."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "xy").write_text("")
    (tmp_path / "b" / "x").write_text("y")
    assert content_sha256(tmp_path / "a") != content_sha256(tmp_path / "b")


def test_devices_and_links_are_never_opened(whole: Path) -> None:
    """A pipe, which would wait for ever, and a link are told for what they are, and hashed without being read."""
    os.mkfifo(whole / "pipe.png")
    (whole / "link.png").symlink_to("/dev/zero")
    assert len(content_sha256(whole)) == 64
    found = {problem.where.rpartition("/")[2]: problem.found for problem in inventory_problems(whole, FILES)}
    assert found == {"pipe.png": "a pipe", "link.png": "a link"}


def test_a_whole_entry_has_no_problem(whole: Path) -> None:
    """The four files and pictures are all that an entry holds."""
    assert inventory_problems(whole, FILES) == []


def test_what_no_entry_has_is_named(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strange files, missing ones, too large ones and too many pictures are each told."""
    monkeypatch.setattr(folder_module, "MAX_PICTURES", 1)
    monkeypatch.setattr(folder_module, "MAX_PICTURE_BYTES", 3)
    (whole / "evil.html").write_text("")
    (whole / "deep" / "er").mkdir(parents=True)
    (whole / "deep" / "er" / "a.png").write_text("")
    (whole / "b.jpg").write_text("much")
    (whole / "report.md").unlink()
    told = "\n".join(map(str, inventory_problems(whole, FILES)))
    for part in (
        "evil.html: found a file that no",
        "er/a.png: found a file that no",
        "2 pictures",
        "b.jpg: found 4 bytes",
    ):
        assert part in told
    assert "report.md: found no such file" in told


def test_a_flood_of_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a folder with very many files nothing is read."""
    monkeypatch.setattr(folder_module, "_MAX_FILES", 3)
    for number in range(5):
        (tmp_path / str(number)).write_text("")
    with pytest.raises(InputError, match="more than 3 files"):
        files_of(tmp_path)


@pytest.mark.parametrize(
    "name", ["a.svg", "a.html.png/x", "../a.png", "pictures/b/a.png", "pictures/../a.png", ".a.png", "a\n.png"]
)
def test_only_plain_pictures_are_pictures(name: str) -> None:
    """Pictures with scripts, hidden ones and those of other folders are none."""
    assert not is_picture(name)
    assert is_picture("pictures/A-1_b.JPEG")
