"""Entries as zips: equal bytes for equal content, and nothing of a stranger's archive gets out of its folder."""

from __future__ import annotations

import io
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from kwsbench.errors import InputError, KwsbenchError, RefusedError
from kwsbench.submission import packing
from kwsbench.submission.packing import pack, unpack_entry
from kwsbench.submission.record import content_sha256
from tests.submission.conftest import edit


@pytest.fixture
def packed(entry: Path, tmp_path: Path) -> Path:
    """The good entry as a zip."""
    pack(entry, tmp_path / "entry.zip")
    return tmp_path / "entry.zip"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where to unpack to."""
    return tmp_path / "unpacked"


def _zip_of(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def _files(packed: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(packed) as archive:
        return {name.removeprefix("blue-owls/tones/"): archive.read(name) for name in archive.namelist()}


def test_what_is_packed_is_unpacked(entry: Path, packed: Path, root: Path) -> None:
    """An entry comes back file by file, under the names of its form."""
    folder = unpack_entry(packed, root)
    assert folder == root / "blue-owls" / "tones"
    assert content_sha256(folder) == content_sha256(entry)


def test_equal_content_gives_equal_bytes(entry: Path, packed: Path, tmp_path: Path) -> None:
    """Packed again from a copy, with other times and modes, the zip is the same."""
    copy = tmp_path / "copy" / "blue-owls" / "tones"
    shutil.copytree(entry, copy)
    for path in copy.iterdir():
        path.touch()
        path.chmod(0o600)
    pack(copy, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


@pytest.mark.parametrize("inside", ["", "x/", "x/y/"], ids=["top", "folder", "folders"])
def test_a_zip_made_by_hand_is_unpacked(inside: str, packed: Path, root: Path, tmp_path: Path) -> None:
    """However deep people pack the folder, and whatever they call it, the form says where it goes."""
    files = {inside + name: content for name, content in _files(packed).items()}
    folder = unpack_entry(_zip_of(tmp_path / "hand.zip", files), root)
    assert folder == root / "blue-owls" / "tones"


def test_nothing_is_overwritten_unless_told(packed: Path, root: Path) -> None:
    """An entry that is there stays, unless it is to be replaced, and then the new one is there whole."""
    folder = unpack_entry(packed, root)
    (folder / "report.md").write_text("mine")
    with pytest.raises(InputError, match="--replace"):
        unpack_entry(packed, root)
    assert (folder / "report.md").read_text() == "mine"
    (folder / "extra.png").write_text("")
    unpack_entry(packed, root, replace_existing=True)
    assert sorted(path.name for path in folder.iterdir()) == sorted(_files(packed))


EVIL = {
    "slip": {"../../evil.txt": b"x"},
    "absolute": {"/tmp/evil.txt": b"x"},  # noqa: S108
    "drive": {"C:/evil.txt": b"x"},
    "backslash": {"..\\evil.txt": b"x"},
    "bomb": {"pictures/a.png": b"\0" * (250 << 20)},
    "many": {f"pictures/{number}.png": b"" for number in range(200)},
    "case": {"Report.md": b"x"},
    "strange": {"evil.html": b"x"},
    "two": {"other/submission.toml": b"x"},
    "long": {"x" * 300 + ".png": b"x"},
}


@pytest.mark.parametrize("kind", EVIL)
def test_an_archive_that_means_harm_leaves_nothing(kind: str, packed: Path, root: Path, tmp_path: Path) -> None:
    """Paths that lead out, bombs, floods and strange files are refused, and not a file of it is kept."""
    archive = _zip_of(tmp_path / "evil.zip", {**_files(packed), **EVIL[kind]})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(KwsbenchError) as caught:
        unpack_entry(archive, root)
    assert sorted(tmp_path.rglob("*")) == before
    assert len(str(caught.value)) < 2_000
    assert "kwsbench-unpack-" not in str(caught.value)


@pytest.mark.parametrize("field", ['team = "blue-owls"', 'entry = "tones"'])
@pytest.mark.parametrize(
    "name", ["../up", r"a\u0000b", "/etc", "Owls", "x" * 10_000, r"\u202Ea", ".", ""], ids=lambda name: name[:8]
)
def test_a_form_that_names_another_place_is_refused(
    field: str, name: str, packed: Path, root: Path, tmp_path: Path
) -> None:
    """Team and entry come from a stranger: nothing but slugs becomes a folder."""
    files = _files(packed)
    key = field.partition(" ")[0]
    files["submission.toml"] = files["submission.toml"].replace(field.encode(), f'{key} = "{name}"'.encode())
    with pytest.raises(InputError) as caught:
        unpack_entry(_zip_of(tmp_path / "evil.zip", files), root)
    assert not root.exists()
    assert len(str(caught.value)) < 2_000


def test_links_in_archives_are_refused(packed: Path, root: Path, tmp_path: Path) -> None:
    """A link in the place of the report is refused in zip and tar."""
    link = zipfile.ZipInfo("report.md")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    files = _files(packed) | {"report.md": b"/etc/passwd"}
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(link if name == "report.md" else name, content)
    with tarfile.open(tmp_path / "link.tar", "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if name == "report.md":
                member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
            tar.addfile(member, io.BytesIO(content))
    for name in ("link.zip", "link.tar"):
        with pytest.raises(RefusedError, match="symbolic link"):
            unpack_entry(tmp_path / name, root)
    assert not root.exists()


def test_a_twin_in_case_is_not_put_beside(packed: Path, root: Path) -> None:
    """Where another case of the name is taken, nothing is unpacked."""
    (root / "Blue-Owls").mkdir(parents=True)
    with pytest.raises(InputError, match="in case alone"):
        unpack_entry(packed, root)
    assert [path.name for path in root.iterdir()] == ["Blue-Owls"]


def test_a_failure_on_the_way_leaves_what_was_there(packed: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where copying breaks off, the entry that was there is there, and nothing else."""
    folder = unpack_entry(packed, root)
    before = content_sha256(folder)

    def break_off(_source: Path, target: Path, **_: object) -> None:
        (target / "half").write_text("")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing.shutil, "copytree", break_off)
    with pytest.raises(InputError, match="unchanged"):
        unpack_entry(packed, root, replace_existing=True)
    assert content_sha256(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["tones"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: edit(folder / "report.md", "## Idea", "## Ideas"), "has changed since it was sealed"),
        (lambda folder: (folder / "notes.txt").write_text(""), "a file that no entry has"),
        (lambda folder: (folder / "model.txt").unlink(), "no such file"),
        (lambda folder: (folder / "submission.toml").unlink(), "no such file"),
    ],
    ids=["changed", "strange", "model", "form"],
)
def test_what_is_no_entry_is_not_packed(
    change: Callable[[Path], object], says: str, entry: Path, tmp_path: Path
) -> None:
    """An entry that nobody could unpack, or that changed after its seal, is not packed."""
    change(entry)
    with pytest.raises(InputError, match=says):
        pack(entry, tmp_path / "entry.zip")
    assert not (tmp_path / "entry.zip").exists()


def test_a_zip_does_not_go_into_what_is_packed(entry: Path) -> None:
    """The output in the folder itself would make the entry another one."""
    with pytest.raises(InputError, match="lies in the entry"):
        pack(entry, entry / "entry.zip")
