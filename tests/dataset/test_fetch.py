"""Tests of `kwsbench.dataset.fetch`: checksums, processes and disks, with a real server on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kwsbench.dataset.fetch import check_file, fetch, recorded_sha256
from kwsbench.errors import CheckFailedError, InputError
from tests.dataset.conftest import (
    BODY,
    OTHER,
    PAGE,
    SHA256,
    Answer,
    Server,
    at_once,
    names_beside,
    part_of,
    wait_until,
)


class TestFetch:
    def test_downloads(self, server: Server, target: Path) -> None:
        """A file arrives under its name, with its checksum, and nothing beside it."""
        assert fetch(server.url, target, num_bytes=len(BODY), sha256=SHA256) == SHA256
        assert target.read_bytes() == BODY
        assert names_beside(target) == {""}

    def test_does_nothing_twice(self, server: Server, target: Path) -> None:
        """A file that is there with the right checksum is not asked for again."""
        for _ in range(2):
            assert fetch(server.url, target, sha256=SHA256.upper()) == SHA256
        assert len(server.requests) == 1

    def test_keeps_what_is_packed_packed(self, server: Server, target: Path) -> None:
        """A server that calls the file's gzip an encoding of its answer changes nothing."""
        server.answers = [Answer(headers={"Content-Encoding": "gzip"})]
        fetch(server.url, target, sha256=SHA256)
        assert server.requests[0].headers["Accept-Encoding"] == "identity"

    @pytest.mark.parametrize(
        "url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "archive.tar.gz", "http://", "http://[a"]
    )
    def test_takes_http_alone(self, target: Path, url: str) -> None:
        """Only http and https addresses are fetched."""
        with pytest.raises(InputError, match=r"an address begins with http:// or https://"):
            fetch(url, target)

    def test_wants_a_file_name(self, server: Server, tmp_path: Path) -> None:
        """A folder where the file should be is an error."""
        with pytest.raises(InputError, match="it is a folder; name a file"):
            fetch(server.url, tmp_path)

    def test_wrong_checksum(self, server: Server, target: Path) -> None:
        """A file with another checksum fails with exit code 1 and is put aside; the next run asks for all of it."""
        server.answers = [Answer(body=OTHER), Answer()]
        other = hashlib.sha256(OTHER).hexdigest()
        with pytest.raises(CheckFailedError, match=f"found SHA-256 {other}, expected SHA-256 {SHA256}; get") as caught:
            fetch(server.url, target, sha256=SHA256)
        assert caught.value.exit_code == 1
        assert names_beside(target) == {".bad"}
        assert fetch(server.url, target, sha256=SHA256) == SHA256
        assert server.ranges() == [None, None]

    def test_wrong_file_in_place(self, server: Server, target: Path) -> None:
        """A file that is there with another size and checksum fails with both, and is put aside."""
        target.parent.mkdir()
        target.write_bytes(OTHER[:1000])
        with pytest.raises(CheckFailedError) as caught:
            fetch(server.url, target, num_bytes=len(BODY), sha256=SHA256)
        assert [problem.expected for problem in caught.value.problems] == [f"{len(BODY):,}", f"SHA-256 {SHA256}"]
        assert names_beside(target) == {".bad"}
        assert server.requests == []


class TestRecord:
    def test_the_first_download_counts(self, server: Server, target: Path) -> None:
        """Without a published checksum, the first one is recorded, in the form of sha256sum, and holds."""
        server.answers = [Answer(), Answer(body=OTHER)]
        assert recorded_sha256(target) is None
        assert fetch(server.url, target) == SHA256 == recorded_sha256(target)
        assert target.with_name("archive.tar.gz.sha256").read_text() == f"{SHA256}  archive.tar.gz\n"
        target.unlink()
        with pytest.raises(CheckFailedError, match=r"delete archive\.tar\.gz\.sha256 to accept it"):
            fetch(server.url, target)
        assert names_beside(target) == {".bad", ".sha256"}

    def test_a_published_checksum_comes_first(self, server: Server, target: Path) -> None:
        """A checksum that is given is not compared with the record, and not recorded."""
        target.parent.mkdir()
        target.with_name("archive.tar.gz.sha256").write_text("0" * 64)
        assert fetch(server.url, target, sha256=SHA256) == SHA256
        assert recorded_sha256(target) == "0" * 64

    def test_a_damaged_record(self, target: Path) -> None:
        """A record that is no checksum is an error that shows it."""
        target.parent.mkdir()
        target.with_name("archive.tar.gz.sha256").write_text("oops")
        with pytest.raises(InputError, match="found 'oops', expected 64 hexadecimal digits"):
            recorded_sha256(target)


class TestCheckFile:
    def test_right(self, target: Path) -> None:
        """A file of the right size and checksum passes, and nothing is written beside it."""
        target.parent.mkdir()
        target.write_bytes(BODY)
        assert check_file(target, len(BODY), SHA256) == SHA256 == check_file(target)
        assert names_beside(target) == {""}

    def test_wrong(self, target: Path) -> None:
        """A web page of the wrong size and checksum fails with all three, and stays where the person put it."""
        target.parent.mkdir()
        target.write_bytes(PAGE)
        with pytest.raises(CheckFailedError) as caught:
            check_file(target, len(BODY), SHA256)
        found = [problem.found for problem in caught.value.problems]
        assert found == ["an HTML page", f"{len(PAGE)} bytes", f"SHA-256 {hashlib.sha256(PAGE).hexdigest()}"]
        assert names_beside(target) == {""}

    def test_recorded(self, target: Path) -> None:
        """Where no checksum is given, the recorded one holds."""
        target.parent.mkdir()
        target.write_bytes(BODY)
        target.with_name("archive.tar.gz.sha256").write_text("0" * 64)
        with pytest.raises(CheckFailedError, match="expected SHA-256 0000"):
            check_file(target)

    def test_missing(self, target: Path) -> None:
        """A file that is not there is an error that names it."""
        with pytest.raises(InputError, match=r"cannot read .*archive\.tar\.gz: No such file"):
            check_file(target, len(BODY), SHA256)


FETCH = """
import sys
from pathlib import Path
from kwsbench.dataset.fetch import fetch
from kwsbench.errors import KwsbenchError
try:
    print(fetch(sys.argv[1], Path(sys.argv[2])))
except KwsbenchError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@contextlib.contextmanager
def fetching(server: Server, target: Path, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process of its own that fetches."""
    command = [sys.executable, "-c", before + FETCH, server.url, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        yield child


def part_bytes(target: Path) -> int:
    """Returns how much of a file has arrived."""
    part = part_of(target)
    return part.stat().st_size if part.exists() else 0


class TestProcesses:
    def test_killed_and_interrupted(self, server: Server, target: Path) -> None:
        """A download that is killed, then stopped with Ctrl-C, then run again transfers each byte once."""
        body = BODY * 4
        server.answers = [Answer(body=body, pause_s=0.05)] * 2 + [Answer(body=body)]
        begins = [0]
        for sent in (signal.SIGKILL, signal.SIGINT):
            with fetching(server, target) as child:
                wait_until(lambda: part_bytes(target) >= begins[-1] + 2 * 2**16)
                child.send_signal(sent)
                child.communicate()
            assert child.returncode == -sent
            assert names_beside(target) == {".part", ".part.json"}
            begins.append(part_bytes(target))
        assert fetch(server.url, target) == hashlib.sha256(body).hexdigest()
        assert server.ranges() == [None, f"bytes={begins[1]}-", f"bytes={begins[2]}-"]
        assert 0 < begins[1] < begins[2] < len(body)
        assert server.requests[2].sent_bytes == len(body) - begins[2]

    def test_two_at_once(self, server: Server, target: Path) -> None:
        """While one process fetches a file, another one says so and leaves it alone; the first one succeeds."""
        server.answers = [Answer(pause_s=0.2)]
        with fetching(server, target) as first:
            wait_until(lambda: part_bytes(target) > 0)
            with pytest.raises(InputError, match="another fetch of it is running"):
                fetch(server.url, target)
            with fetching(server, target) as second:
                assert "another fetch of it is running" in second.communicate()[1]
            assert second.returncode == 2
            assert first.communicate()[0].strip() == SHA256
        assert len(server.requests) == 1

    def test_a_file_that_cannot_grow(self, server: Server, target: Path) -> None:
        """A failed write is one message that says how much is kept, and the next run goes on from there."""
        limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        with fetching(server, target, limit) as child:
            errors = child.communicate()[1]
        assert child.returncode == 2
        assert "File too large; 100,000 bytes are kept" in errors
        assert "Traceback" not in errors
        assert fetch(server.url, target) == SHA256
        assert server.ranges() == [None, "bytes=100000-"]

    def test_no_permission(self, server: Server, target: Path) -> None:
        """A folder that may not be written to is one message that names it."""
        target.parent.mkdir()
        target.parent.chmod(0o555)
        stranger = (
            "import os, requests, kwsbench.dataset.fetch\nif os.getuid() == 0: os.setresuid(65534, 65534, 65534)\n"
        )
        with fetching(server, target, stranger) as child:
            errors = child.communicate()[1]
        assert child.returncode == 2
        assert "Permission denied" in errors
        assert str(target) in errors
        assert "Traceback" not in errors


class TestDisk:
    def test_says_beforehand_what_does_not_fit(self, server: Server, target: Path) -> None:
        """A file that is larger than the free space is not begun."""
        with pytest.raises(InputError, match=r"the disk has too little room\n.* GB free, expected 1000000000.00 GB"):
            fetch(server.url, target, num_bytes=10**18)
        assert server.requests == []

    def test_counts_only_what_is_missing(self, server: Server, tiny_disk: Path) -> None:
        """A part that is there already needs no room again."""
        body = BODY * 3
        server.answers = [Answer(body=body, drop_after=600_000), Answer(body=body)]
        (tiny_disk / "other").write_bytes(bytes(100_000))
        assert fetch(server.url, tiny_disk / "a", wait=at_once) == hashlib.sha256(body).hexdigest()
        assert server.ranges() == [None, "bytes=600000-"]

    def test_learns_the_size_from_the_server(self, server: Server, tiny_disk: Path) -> None:
        """A size that only the server tells is compared with the free space before anything is written."""
        server.answers = [Answer(body=BODY * 4)]
        with pytest.raises(InputError, match=r"the disk has too little room\n.* expected 1,200,008 bytes"):
            fetch(server.url, tiny_disk / "a")
        assert list(tiny_disk.iterdir()) == []

    def test_runs_full(self, server: Server, tiny_disk: Path) -> None:
        """A disk that is full on the way is said, and what fits is kept."""
        server.answers = [Answer(body=BODY * 4, says_length=False)]
        with pytest.raises(InputError, match=r"the disk is full; 1,0\d+,\d+ bytes are kept in .*/a\.part"):
            fetch(server.url, tiny_disk / "a")
