"""Tests of `kwsbench.dataset.archive`: honest archives, bombs, interrupted runs and full disks."""

from __future__ import annotations

import contextlib
import gzip
import os
import signal
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kwsbench.dataset import archive_formats
from kwsbench.dataset.archive import UnpackLimits, unpack
from kwsbench.errors import InputError, RefusedError
from tests.dataset.conftest import CLIPS, PACKINGS, folder_of, tar_bytes, wait_until, with_header, written, zip_bytes

HEADER = 512


class TestUnpack:
    @pytest.mark.parametrize("packing", PACKINGS)
    def test_unpacks_every_format_by_its_content(self, tmp_path: Path, packing: str) -> None:
        """Each format gives the same files, whatever the archive is called."""
        archive = written(tmp_path, PACKINGS[packing]())
        assert unpack(archive, tmp_path / "new" / "out") == 3
        assert folder_of(tmp_path / "new" / "out") == CLIPS

    def test_replaces_an_old_folder(self, tmp_path: Path) -> None:
        """What was in the destination before is gone, and no temporary folder stays."""
        archive = written(tmp_path, PACKINGS["tar.gz"]())
        (tmp_path / "out" / "old").mkdir(parents=True)
        unpack(archive, tmp_path / "out")
        assert folder_of(tmp_path / "out") == CLIPS
        assert {path.name for path in tmp_path.iterdir()} == {"archive", "out"}

    def test_takes_leading_dots_and_folders_twice(self, tmp_path: Path) -> None:
        """`./`, `./yes/` twice and `./yes//./a.wav` are what tar makes of honest folders."""
        names = [("./", b""), ("./yes/", b""), ("./yes/", b""), ("./yes//./a.wav", b"a"), ("./empty/", b"")]
        assert unpack(written(tmp_path, tar_bytes(*names)), tmp_path / "out") == 1
        assert folder_of(tmp_path / "out") == {"yes/a.wav": b"a"}
        assert (tmp_path / "out" / "empty").is_dir()

    def test_gives_files_plain_modes(self, tmp_path: Path) -> None:
        """A member with setuid and write permission for all becomes a file with mode 0644."""
        unpack(written(tmp_path, tar_bytes(("a", b"a"))), tmp_path / "out")
        info = (tmp_path / "out" / "a").stat()
        assert stat.S_IMODE(info.st_mode) == 0o644
        assert info.st_uid == os.getuid()

    @pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
    def test_leaves_out_what_a_mac_adds(self, tmp_path: Path, pack: Callable[..., bytes]) -> None:
        """`__MACOSX/`, `._*` and `.DS_Store` are skipped without a word."""
        names = ("__MACOSX/._a", "__MACOSX/../b", "x/._a", "x/.DS_Store", "x/a")
        assert unpack(written(tmp_path, pack(*((name, b"a") for name in names))), tmp_path / "out") == 1
        assert folder_of(tmp_path / "out") == {"x/a": b"a"}

    @pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
    def test_keeps_only_the_inner_folder(self, tmp_path: Path, pack: Callable[..., bytes]) -> None:
        """With `inner_folder`, its name is left out and so is everything beside it."""
        archive = written(tmp_path, pack(("a/b/c", b"1"), ("a/b/d/e", b"2"), ("a/f", b"3"), ("a/bc", b"4")))
        assert unpack(archive, tmp_path / "out", inner_folder="a/b") == 2
        assert folder_of(tmp_path / "out") == {"c": b"1", "d/e": b"2"}

    def test_names_the_folders_there_are(self, tmp_path: Path, old: Path) -> None:
        """A missing inner folder is an error that names those at the top and suggests the nearest."""
        archive = written(tmp_path, PACKINGS["tar"]())
        with pytest.raises(
            InputError, match=r"found the folders no, yes, expected files in 'yess'; did you mean 'yes'"
        ):
            unpack(archive, old, inner_folder="yess")

    @pytest.mark.parametrize("packing", ["tar", "tar.gz", "zip"])
    def test_shows_progress(self, tmp_path: Path, packing: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The bar counts the bytes of the archive."""
        archive = written(tmp_path, PACKINGS[packing]())
        totals: list[int] = []
        counts: list[int] = []

        @contextlib.contextmanager
        def recorded(_title: str, total: int, _unit: str) -> Iterator[Callable[[int], None]]:
            totals.append(total)
            yield counts.append

        monkeypatch.setattr(archive_formats, "progress", recorded)
        unpack(archive, tmp_path / "out")
        assert totals == [archive.stat().st_size]
        assert sum(counts) >= totals[0]

    def test_follows_a_link_to_another_disk(self, tmp_path: Path) -> None:
        """A destination that is a symbolic link stays one; what it leads to is replaced."""
        archive = written(tmp_path, PACKINGS["zip"]())
        (tmp_path / "disk" / "data").mkdir(parents=True)
        (tmp_path / "out").symlink_to(tmp_path / "disk" / "data")
        unpack(archive, tmp_path / "out")
        assert (tmp_path / "out").is_symlink()
        assert folder_of(tmp_path / "disk" / "data") == CLIPS


def claiming(num_bytes: int) -> bytes:
    """Returns a tar whose only member claims a size, and nothing of it is there."""
    info = tarfile.TarInfo("huge.wav")
    info.size = num_bytes
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(2 * HEADER)


class TestLimits:
    def test_refuses_a_bomb_in_a_tar(self, tmp_path: Path, old: Path) -> None:
        """A tar.gz that swells a thousandfold is refused once more comes out than the larger of 64 MiB and 20 times."""
        bomb = gzip.compress(tar_bytes(("zeros.wav", bytes(2**26 + 1))), compresslevel=1)
        assert len(bomb) * 200 < 2**26
        with pytest.raises(RefusedError, match=r"'zeros.wav': found 67,\d+,\d+ bytes .* expected at most 67,108,864"):
            unpack(written(tmp_path, bomb), old)

    def test_refuses_a_bomb_in_a_zip(self, tmp_path: Path, old: Path) -> None:
        """A zip whose directory announces too much is refused for that alone."""
        bomb = zip_bytes(("zeros.wav", bytes(2**26 + 1)))
        with pytest.raises(RefusedError, match="found 67,108,865 bytes unpacked, expected at most 67,108,864"):
            unpack(written(tmp_path, bomb), old)

    def test_counts_what_comes_out_after_the_last_member(self, tmp_path: Path, old: Path) -> None:
        """Bytes that swell behind the end of the tar are counted too."""
        bomb = gzip.compress(tar_bytes(("a", b"a")) + bytes(2**21))
        with pytest.raises(RefusedError, match="it swells too much"):
            unpack(written(tmp_path, bomb), old, limits=UnpackLimits(floor_bytes=2**20))

    def test_counts_what_is_left_out(self, tmp_path: Path, old: Path) -> None:
        """A bomb in a member that is not written is a bomb still."""
        bomb = gzip.compress(tar_bytes(("__MACOSX/a", bytes(2**21)), ("b", b"b")))
        with pytest.raises(RefusedError, match="it swells too much"):
            unpack(written(tmp_path, bomb), old, limits=UnpackLimits(floor_bytes=2**20))

    def test_allows_what_is_large_itself(self, tmp_path: Path) -> None:
        """An archive may unpack to 20 times its own size, above the floor."""
        archive = written(tmp_path, gzip.compress(tar_bytes(("a", bytes(2**16) + os.urandom(2**14)))))
        assert unpack(archive, tmp_path / "out", limits=UnpackLimits(floor_bytes=1)) == 1

    def test_refuses_a_giant_before_it_is_read(self, tmp_path: Path, old: Path) -> None:
        """A tar header that claims 10 TB is refused at the header."""
        with pytest.raises(RefusedError, match=r"'huge.wav': found 10,000,000,000,512 bytes unpacked up to here"):
            unpack(written(tmp_path, claiming(10**13)), old)

    @pytest.mark.parametrize("claimed", [10, 5 * 10**6])
    def test_sees_through_a_zip_that_lies(self, tmp_path: Path, old: Path, claimed: int) -> None:
        """A zip whose headers say less or more than comes out is damaged, whatever comes out."""
        with pytest.raises(InputError, match="fetch it again"):
            unpack(written(tmp_path, with_header(zip_bytes(("a", bytes(4 * 10**6))), size=claimed)), old)

    @pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
    @pytest.mark.parametrize("names", [("a", "b", "c"), ("a/b/c/d",)])
    def test_refuses_too_many(
        self, tmp_path: Path, old: Path, names: tuple[str, ...], pack: Callable[..., bytes]
    ) -> None:
        """Members count, and so do folders that only appear in their paths."""
        archive = written(tmp_path, pack(*((name, b"") for name in names)))
        with pytest.raises(RefusedError, match="found more files and folders, expected at most 2"):
            unpack(archive, old, limits=UnpackLimits(max_members=2))

    def test_refuses_a_header_of_megabytes(self, tmp_path: Path, old: Path) -> None:
        """A tar whose extended header alone would fill the memory is damaged."""
        packed = gzip.compress(tar_bytes(("a", b""), pax={"comment": "x" * 2**21}))
        with pytest.raises(InputError, match="a header of over 1,048,576 bytes"):
            unpack(written(tmp_path, packed), old)

    def test_refuses_a_directory_of_megabytes(self, tmp_path: Path, old: Path) -> None:
        """A zip with a directory far larger than its allowed members need is refused before it is parsed."""
        packed = zip_bytes(*((f"{number}{'n' * 200}", b"") for number in range(20_000)))
        with pytest.raises(RefusedError, match=r"its directory alone has 5,008,890 bytes, expected at most 4,194,304"):
            unpack(written(tmp_path, packed), old, limits=UnpackLimits(max_members=100))


class TestDestination:
    def test_never_replaces_a_file(self, tmp_path: Path) -> None:
        """A destination that is a file is an error, and the file stays."""
        (tmp_path / "out").write_text("mine")
        with pytest.raises(InputError, match="it is a file; name a folder"):
            unpack(written(tmp_path, PACKINGS["zip"]()), tmp_path / "out")
        assert (tmp_path / "out").read_text() == "mine"

    def test_never_replaces_the_archive(self, tmp_path: Path) -> None:
        """An archive inside its destination would be deleted with the old folder: an error."""
        archive = written(tmp_path, PACKINGS["zip"]())
        with pytest.raises(InputError, match=r"the archive .* lies in it"):
            unpack(archive, tmp_path)
        assert archive.exists()

    @pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
    def test_interrupted(self, tmp_path: Path, sent: signal.Signals) -> None:
        """Ctrl-C leaves the old folder and nothing else; after a kill, the next run clears up."""
        archive = tmp_path / "archive"
        many_files(archive, 2_500)
        out = tmp_path / "out"
        out.mkdir()
        (out / "old.wav").write_bytes(b"old")
        with subprocess.Popen([sys.executable, "-c", UNPACK, str(archive), str(out)], stderr=subprocess.PIPE) as child:
            wait_until(lambda: sum(1 for _ in tmp_path.glob(".out*/*")) > 100)
            child.send_signal(sent)
            child.communicate()
        assert child.returncode == -sent
        assert folder_of(out) == {"old.wav": b"old"}
        left = {path.name for path in tmp_path.iterdir()} - {"archive", "out"}
        assert bool(left) == (sent == signal.SIGKILL)
        assert unpack(archive, out) == 2_500
        assert {path.name for path in tmp_path.iterdir()} == {"archive", "out"}


UNPACK = """
import sys
from pathlib import Path
from kwsbench.dataset import archive_formats
from kwsbench.dataset.archive import unpack
from kwsbench.errors import KwsbenchError
try:
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
except KwsbenchError as error:
    sys.exit(str(error))
"""
LIMITED = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n" + UNPACK


def many_files(archive: Path, count: int) -> None:
    """Writes a tar with so many empty files."""
    with archive.open("wb") as stream:
        for number in range(count):
            stream.write(tarfile.TarInfo(f"{number}.wav").tobuf(tarfile.GNU_FORMAT))
        stream.write(bytes(2 * HEADER))


class TestFullDisk:
    def test_a_failed_write_keeps_the_old_folder(self, tmp_path: Path, old: Path) -> None:
        """Where a file cannot be written to its end, one message says so and everything is as it was."""
        archive = written(tmp_path, gzip.compress(tar_bytes(("a", bytes(5000)))))
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(archive), str(old)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert done.stderr.startswith(f"cannot unpack {archive} into {old}: File too large")
        assert "what was there before is unchanged" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_full_disk(self, tmp_path: Path, tiny_disk: Path) -> None:
        """When the disk runs full on the way, the message says that, and the disk is as empty as before."""
        archive = written(tmp_path, gzip.compress(tar_bytes(("a", bytes(10)), ("b", bytes(2**21)))))
        with pytest.raises(InputError, match="the disk is full; what was there before is unchanged; free some space"):
            unpack(archive, tiny_disk / "out")
        assert list(tiny_disk.iterdir()) == []

    def test_says_beforehand_what_does_not_fit(self, tmp_path: Path, tiny_disk: Path) -> None:
        """Where the size is known, nothing is written to a disk with too little room."""
        archive = written(tmp_path, zip_bytes(("a", bytes(10)), ("b", bytes(2**21))))
        with pytest.raises(
            InputError, match=r"the disk has too little room\n.* found 1,0\d+,\d+ bytes free, expected 2,097"
        ):
            unpack(archive, tiny_disk / "out")
        assert list(tiny_disk.iterdir()) == []
