"""Tests of `kwsbench.dataset.archive_members`: real archives whose members are made to do harm."""

from __future__ import annotations

import contextlib
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.dataset.archive import unpack
from kwsbench.errors import KwsbenchError, RefusedError
from tests.dataset.conftest import folder_of, tar_bytes, with_header, written, zip_bytes

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "symbolic link": (lambda: tar_bytes(("a", b""), kind=tarfile.SYMTYPE), "'a': found a symbolic link"),
    "hard link": (lambda: tar_bytes(("a", b""), kind=tarfile.LNKTYPE), "'a': found a hard link"),
    "character device": (lambda: tar_bytes(("a", b""), kind=tarfile.CHRTYPE), "'a': found a device or FIFO"),
    "block device": (lambda: tar_bytes(("a", b""), kind=tarfile.BLKTYPE), "'a': found a device or FIFO"),
    "FIFO": (lambda: tar_bytes(("a", b""), kind=tarfile.FIFOTYPE), "'a': found a device or FIFO"),
    "unknown type": (lambda: tar_bytes(("a", b""), kind=b"Z"), "'a': found an entry of type b'Z'"),
    "sparse file": (
        lambda: tar_bytes(("a", b"0\n"), pax={"GNU.sparse.map": "0,1", "GNU.sparse.size": "9999999999999"}),
        "'a': found a sparse file",
    ),
    "zipped link": (lambda: zip_bytes(("a", b"/etc"), mode=stat.S_IFLNK | 0o777), "'a': found a symbolic link"),
    "zipped FIFO": (lambda: zip_bytes(("a", b""), mode=stat.S_IFIFO | 0o777), "'a': found a device or FIFO"),
    "encrypted": (lambda: with_header(zip_bytes(("a", b"a")), flags=1), "'a': found an encrypted file"),
    "bzip2 in zip": (lambda: zip_bytes(("a", b"a"), method=zipfile.ZIP_BZIP2), "'a': found a file neither stored nor"),
    "NUL in tar": (lambda: tar_bytes(("a", b""), pax={"path": "a\0b"}), r"'a\\x00b': found control characters"),
    "NUL in zip": (lambda: zip_bytes(("a\0b", b"")), r"'a\\x00b': found control characters"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_what_is_no_plain_file(tmp_path: Path, old: Path, case: str) -> None:
    """A member that is no plain file or folder is refused by name with exit code 3, and nothing is kept."""
    build, message = REFUSED[case]
    with pytest.raises(RefusedError, match=message) as caught:
        unpack(written(tmp_path, build()), old)
    assert caught.value.exit_code == 3


NAMES: dict[str, tuple[tuple[str, ...], str]] = {
    "absolute": (("/etc/a",), "'/etc/a': found an absolute path"),
    "upwards": (("../a",), "'../a': found a path that leads upwards"),
    "upwards inside": (("a/../../b",), "'a/../../b': found a path that leads upwards"),
    "backslash": (("..\\a",), r"'..\\\\a': found a backslash"),
    "drive letter": (("C:a",), "'C:a': found a drive letter"),
    "hidden drive letter": (("./c:/a",), "'./c:/a': found a drive letter"),
    "line feed": (("a\nb",), r"'a\\nb': found control characters"),
    "escape": (("a\x1b[2J",), r"'a\\x1b\[2J': found control characters"),
    "C1 control": (("a\x9b2J",), r"'a\\x9b2J': found control characters"),
    "long name": (("n" * 256,), "found a name of 256 bytes, expected at most 255"),
    "long name in UTF-8": (("\u0431" * 128,), "found a name of 256 bytes"),
    "long path": ((("n" * 200 + "/") * 21 + "a",), "found a path of 4,222 bytes"),
    "deep path": (("n/" * 101 + "a",), "found 102 folders inside each other"),
    "nothing": ((".",), "'.': found an empty name"),
    "twice": (("a", "b", "a"), "'a': found the same name again"),
    "twice in disguise": (("a", "./a"), "'./a': found the same name again"),
    "case": (("yes/a", "yes/A"), "'yes/A': found 'A' beside 'a'"),
    "case of a folder": (("yes/a", "Yes/b"), "'Yes/b': found 'Yes' beside 'yes'"),
    "Unicode form": (("caf\u00e9", "cafe\u0301"), r"found 'cafe\\u0301' beside 'caf\\xe9'"),
    "file, then folder": (("a", "a/b"), "'a/b': found a folder 'a' where another member has a file"),
    "folder, then file": (("a/b", "a"), "'a': found a file where another member has a folder"),
    "file, then empty folder": (("a", "a/"), "'a/?': found a folder where another member has a file"),
}


class TestNames:
    @pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
    @pytest.mark.parametrize("case", NAMES)
    def test_refuses(self, tmp_path: Path, old: Path, case: str, pack: Callable[..., bytes]) -> None:
        """A member with an unsafe name, or one that another member has too, is refused by name."""
        names, message = NAMES[case]
        with pytest.raises(RefusedError, match=message):
            unpack(written(tmp_path, pack(*((name, b"a") for name in names))), old)

    def test_refuses_other_encodings(self, tmp_path: Path, old: Path) -> None:
        """A name that is not UTF-8 is refused."""
        with pytest.raises(RefusedError, match=r"'\\udce9': found bytes that are not UTF-8"):
            unpack(written(tmp_path, tar_bytes(("\u00e9", b""), encoding="latin-1")), old)

    @pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
    def test_says_everything_at_once(self, tmp_path: Path, old: Path, pack: Callable[..., bytes]) -> None:
        """All kinds of problems are listed, a few of each kind, and the rest is counted."""
        names = [("good", b""), *((f"../{number}", b"") for number in range(100)), ("/b", b""), ("c\\", b"")]
        with pytest.raises(RefusedError) as caught:
            unpack(written(tmp_path, pack(*names)), old)
        found = [(problem.found, problem.count) for problem in caught.value.problems]
        upwards = "a path that leads upwards"
        assert found == [*[(upwards, 1)] * 4, (upwards, 96), ("an absolute path", 1), ("a backslash", 1)]

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(st.data())
    def test_nothing_is_ever_written_outside(self, data: st.DataObject) -> None:
        """Whatever names and types an archive holds, only the destination changes, and only as a whole."""
        part = st.sampled_from(
            ["..", ".", "", "a", "A", "b", "C:", "out", "caf\u00e9", "cafe\u0301", "a\\b", "n" * 256]
        )
        name = st.lists(part | st.text(max_size=3), min_size=1, max_size=4).map("/".join)
        kind = data.draw(st.sampled_from([tarfile.REGTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE]))
        names = data.draw(st.lists(name, min_size=1, max_size=6))
        try:
            content = zip_bytes if data.draw(st.booleans()) else lambda *members: tar_bytes(*members, kind=kind)
            packed = content(*((name, b"x") for name in names))
        except (UnicodeError, ValueError):
            return  # a name that no archive can hold
        with tempfile.TemporaryDirectory() as root:
            home = Path(root) / "home"
            home.mkdir()
            archive = written(home, packed)
            with contextlib.suppress(KwsbenchError):
                assert unpack(archive, home / "out") == len(folder_of(home / "out"))
            assert {path.name for path in Path(root).iterdir()} == {"home"}
            assert {path.name for path in home.iterdir()} <= {"archive", "out"}
            assert archive.read_bytes() == packed
