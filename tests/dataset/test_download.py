"""Tests of `kwsbench.dataset.download`: a real server on this machine that drops, lies and goes away."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kwsbench.dataset import download
from kwsbench.dataset.download import is_html
from kwsbench.dataset.fetch import fetch, wait_before_retry
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
)


class TestResume:
    def test_goes_on_where_the_connection_dropped(self, server: Server, target: Path) -> None:
        """After a drop, only the rest is asked for, of the same version, and the file is right."""
        server.answers = [Answer(drop_after=100_000), Answer(drop_after=50_000), Answer()]
        waits: list[int] = []
        assert fetch(server.url, target, sha256=SHA256, wait=waits.append) == SHA256
        assert server.ranges() == [None, "bytes=100000-", "bytes=150000-"]
        assert sum(request.sent_bytes for request in server.requests) == len(BODY)
        assert server.requests[1].headers["If-Range"].startswith('"')
        assert waits == [1, 2]

    def test_goes_on_in_the_next_run(self, server: Server, target: Path) -> None:
        """A run that gives up keeps what it has and says so; the next one asks for the rest."""
        server.answers = [Answer(drop_after=100_000), Answer(drop_after=0), Answer()]
        with pytest.raises(
            InputError, match=r"found 100,000 bytes, expected 300,002 bytes; .* the next run resumes there"
        ):
            fetch(server.url, target, retries=1, wait=at_once)
        assert names_beside(target) == {".part", ".part.json"}
        assert fetch(server.url, target) == SHA256
        assert server.ranges() == [None, "bytes=100000-", "bytes=100000-"]
        assert names_beside(target) == {"", ".sha256"}

    def test_progress_earns_new_retries(self, server: Server, target: Path) -> None:
        """A drop after a mebibyte of progress is not counted against the retries."""
        body = bytes(range(256)) * 2**14
        server.answers = [Answer(body=body, drop_after=2**20)]
        assert fetch(server.url, target, retries=1, wait=at_once) == hashlib.sha256(body).hexdigest()
        assert len(server.requests) == 4

    def test_starts_anew_when_the_file_has_changed(self, server: Server, target: Path) -> None:
        """A part of an older version is not mixed with a newer one."""
        server.answers = [Answer(body=OTHER, drop_after=100_000), Answer()]
        assert fetch(server.url, target, wait=at_once) == SHA256
        assert server.requests[1].sent_bytes == len(BODY)

    def test_starts_anew_when_the_server_cannot_resume(self, server: Server, target: Path) -> None:
        """A server that sends everything again is taken at its word."""
        server.answers = [Answer(drop_after=100_000), Answer(ignores_range=True)]
        assert fetch(server.url, target, wait=at_once) == SHA256

    @pytest.mark.parametrize(
        "broken",
        [
            Answer(shift=1),
            Answer(headers={"Content-Range": "nonsense"}),
            Answer(headers={"Content-Range": "bytes 100000-300001/300003"}),
            Answer(headers={"ETag": '"new"'}),
        ],
    )
    def test_starts_anew_when_the_rest_does_not_fit(self, server: Server, target: Path, broken: Answer) -> None:
        """A partial answer that begins elsewhere, or belongs to another version, is not appended."""
        server.answers = [Answer(drop_after=100_000), broken, Answer(ignores_range=True)]
        assert fetch(server.url, target, wait=at_once, retries=2) == SHA256
        assert server.requests[1].headers["Range"] == "bytes=100000-"
        assert server.requests[2].sent_bytes == len(BODY)

    def test_starts_anew_from_another_address(self, server: Server, target: Path) -> None:
        """A part that came from elsewhere is not resumed, whatever version it says it is."""
        server.answers = [Answer(drop_after=100_000), Answer()]
        with pytest.raises(InputError, match="dropped"):
            fetch(server.url, target, retries=0)
        assert fetch(f"{server.url}?mirror", target) == SHA256
        assert server.ranges() == [None, None]

    def test_the_bar_begins_at_the_resumed_position(
        self, server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Progress counts what is there already first, then what comes, and goes back when it starts anew."""
        server.answers = [Answer(drop_after=100_000), Answer(drop_after=100_000), Answer(ignores_range=True)]
        with pytest.raises(InputError, match="dropped"):
            fetch(server.url, target, retries=0)
        counts: list[int] = []

        @contextlib.contextmanager
        def recorded(_title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
            assert (total, unit) == (len(BODY), "bytes")
            yield counts.append

        monkeypatch.setattr(download, "progress", recorded)
        assert fetch(server.url, target, wait=at_once) == SHA256
        assert counts[0] == 100_000
        assert -200_000 in counts
        assert sum(counts) == len(BODY)

    def test_starts_anew_without_a_version(self, server: Server, target: Path) -> None:
        """Where neither ETag nor date nor checksum says what the part belongs to, it is not resumed."""
        server.answers = [Answer(drop_after=100_000, headers={"ETag": ""}), Answer()]
        assert fetch(server.url, target, wait=at_once) == SHA256
        assert server.ranges() == [None, None]

    def test_resumes_by_checksum_alone(self, server: Server, target: Path) -> None:
        """Where a checksum will tell, a part is resumed even if the server names no version."""
        server.answers = [Answer(drop_after=100_000, headers={"ETag": ""}), Answer(headers={"ETag": ""})]
        assert fetch(server.url, target, sha256=SHA256, wait=at_once) == SHA256
        assert server.ranges() == [None, "bytes=100000-"]

    def test_resumes_by_date(self, server: Server, target: Path) -> None:
        """A weak ETag does not identify bytes: the date does."""
        dated = {"ETag": 'W/"weak"', "Last-Modified": "Mon, 02 Nov 2026 10:00:00 GMT"}
        server.answers = [Answer(drop_after=100_000, headers=dated), Answer(headers=dated)]
        assert fetch(server.url, target, wait=at_once) == SHA256
        assert server.requests[1].headers["If-Range"] == dated["Last-Modified"]
        assert server.ranges() == [None, "bytes=100000-"]

    def test_a_part_that_is_complete(self, server: Server, target: Path) -> None:
        """A part of full size is checked and taken without a request."""
        target.parent.mkdir()
        part_of(target).write_bytes(BODY)
        assert fetch(server.url, target, num_bytes=len(BODY), sha256=SHA256) == SHA256
        assert server.requests == []

    @pytest.mark.parametrize("part", [BODY + b"more", OTHER[:1000], b""])
    def test_a_part_of_unknown_origin(self, server: Server, target: Path, part: bytes) -> None:
        """A part without notes is replaced."""
        target.parent.mkdir()
        part_of(target).write_bytes(part)
        part_of(target).with_name("archive.tar.gz.part.json").write_text("{")
        assert fetch(server.url, target, num_bytes=len(BODY), sha256=SHA256) == SHA256
        assert server.ranges() == [None]
        assert names_beside(target) == {""}

    def test_a_file_that_has_shrunk(self, server: Server, target: Path) -> None:
        """When the server says that nothing is left to send (416), the file is fetched anew."""
        server.answers = [Answer(body=OTHER, drop_after=100_000), Answer(body=BODY[:50_000], headers={"ETag": ""})]
        notes = part_of(target).with_name("archive.tar.gz.part.json")
        with pytest.raises(InputError):
            fetch(server.url, target, retries=0)
        notes.write_text(json.dumps(json.loads(notes.read_text()) | {"etag": "", "last_modified": ""}))
        sha256 = hashlib.sha256(BODY[:50_000]).hexdigest()
        assert fetch(server.url, target, sha256=sha256, retries=1, wait=at_once) == sha256
        assert server.ranges() == [None, "bytes=100000-", None]


class TestServerTrouble:
    @pytest.mark.parametrize(
        ("status", "message"),
        [
            (404, "HTTP 404 Not Found\n.*check the address"),
            (403, "HTTP 403 Forbidden\n.*login"),
            (410, "HTTP 410 Gone"),
        ],
    )
    def test_a_clear_no(self, server: Server, target: Path, status: int, message: str) -> None:
        """What trying again cannot cure is said at once, with status and address."""
        server.answers = [Answer(status=status)]
        with pytest.raises(InputError, match=f"cannot fetch {server.url}: {message}"):
            fetch(server.url, target)
        assert len(server.requests) == 1
        assert names_beside(target) == set()

    def test_a_passing_no(self, server: Server, target: Path) -> None:
        """A server that is busy is asked again."""
        server.answers = [Answer(status=503), Answer(status=500), Answer()]
        assert fetch(server.url, target, retries=2, wait=at_once) == SHA256

    def test_a_lasting_no(self, server: Server, target: Path) -> None:
        """A server that stays busy is an error with status and address, after all retries."""
        server.answers = [Answer(status=503)]
        with pytest.raises(InputError, match=f"cannot fetch {server.url}: HTTP 503 Service Unavailable"):
            fetch(server.url, target, retries=2, wait=at_once)
        assert len(server.requests) == 3

    @pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/html; charset=utf-8"}])
    def test_a_web_page_instead(self, server: Server, target: Path, headers: dict[str, str]) -> None:
        """A page that comes instead of the file, told by its type or its bytes, is never taken; the part is kept."""
        page = Answer(body=PAGE if not headers else b"Welcome!", headers=headers)
        server.answers = [Answer(drop_after=100_000), page, Answer()]
        with pytest.raises(InputError, match="an HTML page came instead of the file"):
            fetch(server.url, target, wait=at_once)
        assert part_of(target).read_bytes() == BODY[:100_000]
        assert fetch(server.url, target) == SHA256
        assert server.ranges()[2] == "bytes=100000-"

    def test_a_proxy_that_answers_itself(self, server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The page of a proxy or a hotel's network is told from the file."""
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
        server.answers = [Answer(body=PAGE)]
        with pytest.raises(InputError, match="an HTML page came instead"):
            fetch("http://archive.invalid/archive.tar.gz", target)
        assert server.requests[0].path == "http://archive.invalid/archive.tar.gz"

    def test_another_size_announced(self, server: Server, target: Path) -> None:
        """A server that announces another size than expected is stopped before anything is transferred."""
        with pytest.raises(CheckFailedError, match=r"found 300,002 bytes, expected 300,000"):
            fetch(server.url, target, num_bytes=300_000)
        assert names_beside(target) == set()

    def test_more_than_expected(self, server: Server, target: Path) -> None:
        """A body without an end is cut off where the file should end."""
        server.answers = [Answer(says_length=False)]
        with pytest.raises(CheckFailedError, match=r"found more bytes, expected 300,000"):
            fetch(server.url, target, num_bytes=300_000)
        assert names_beside(target) == set()

    def test_less_than_expected(self, server: Server, target: Path) -> None:
        """A body that ends early, without a word about its length, is a drop."""
        server.answers = [Answer(says_length=False, drop_after=100_000), Answer(status=503)]
        with pytest.raises(InputError, match=r"found 100,000 bytes, expected 300,002 bytes"):
            fetch(server.url, target, num_bytes=300_002, retries=1, wait=at_once)

    def test_nothing(self, server: Server, target: Path) -> None:
        """An empty answer is never a file."""
        server.answers = [Answer(body=BODY, drop_after=0, says_length=False)]
        with pytest.raises(InputError, match=r"the answer is empty\n.*found nothing, expected the whole file"):
            fetch(server.url, target, retries=1, wait=at_once)
        assert not target.exists()


class TestNoAnswer:
    def test_refused_connection(self, target: Path, dead_port: int) -> None:
        """A server that is not there is named at once."""
        with pytest.raises(InputError, match=r"127\.0\.0\.1 refuses the connection"):
            fetch(f"http://127.0.0.1:{dead_port}/a", target)
        assert names_beside(target) == set()

    def test_unknown_host(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host that no name server knows is named."""

        def look_up(*_: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", look_up)  # tests ask no name server
        with pytest.raises(InputError, match=r"the host archive\.invalid is not found: check the network"):
            fetch("http://archive.invalid/a", target)

    def test_no_proxy(self, target: Path, dead_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy that is not there is told from a server that is not."""
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{dead_port}")
        with pytest.raises(InputError, match="no way through the proxy"):
            fetch("http://archive.invalid/a", target)

    def test_no_tls(self, server: Server, target: Path) -> None:
        """A server that does not speak TLS where it should is one message."""
        with pytest.raises(InputError, match=r"no secure connection to 127\.0\.0\.1"):
            fetch(server.url.replace("http:", "https:"), target)

    def test_hangs_up(self, target: Path) -> None:
        """A server that hangs up before it answers is asked again, then named."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            calls: list[int] = []

            def hang_up() -> None:
                for _ in range(3):
                    listener.accept()[0].close()
                    calls.append(1)

            thread = threading.Thread(target=hang_up)
            thread.start()
            with pytest.raises(InputError, match=r"127\.0\.0\.1 drops the connection"):
                fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/a", target, retries=2, wait=at_once)
            thread.join()
        assert len(calls) == 3

    def test_silence(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that takes the call and says nothing is asked again, then named."""
        monkeypatch.setattr(download, "_TIMEOUT_S", (5.0, 0.05))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            waits: list[int] = []
            with pytest.raises(InputError, match=r"127\.0\.0\.1 does not answer"):
                fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/a", target, retries=2, wait=waits.append)
        assert waits == [1, 2]

    def test_falls_silent(self, server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that stops sending is left, and asked for the rest."""
        monkeypatch.setattr(download, "_TIMEOUT_S", (5.0, 0.7))
        server.answers = [Answer(pause_s=2.5), Answer()]
        assert fetch(server.url, target, wait=at_once) == SHA256
        assert server.ranges() == [None, "bytes=65536-"]

    def test_a_server_that_goes_away(self, server: Server, target: Path) -> None:
        """Once bytes have come, a refused connection is a drop like others: it is tried again, the part kept."""
        server.answers = [Answer(drop_after=100_000)]
        waits: list[int] = []

        def wait(attempt: int) -> None:
            if attempt == 1:
                server.close()
            waits.append(attempt)

        with pytest.raises(InputError, match=r"refuses the connection.*\n.*found 100,000 bytes"):
            fetch(server.url, target, retries=3, wait=wait)
        assert waits == [1, 2, 3]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (PAGE, True),
        (b"\xef\xbb\xbf \n<HTML>", True),
        (b'<?xml version="1.0"?><!-- x --><!doctype  html>', True),
        (b"<head>", True),
        (b"<header>", False),
        (b"", False),
        (BODY, False),
        (b"a <html>", False),
    ],
)
def test_is_html(head: bytes, expected: bool) -> None:  # noqa: FBT001 - a case of the table above
    """A web page is told by how it begins."""
    assert is_html(head) is expected


def test_waits_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rests before retries double from half a second to eight."""
    rests: list[float] = []
    monkeypatch.setattr(time, "sleep", rests.append)
    for attempt in range(1, 7):
        wait_before_retry(attempt)
    assert rests == [0.5, 1, 2, 4, 8, 8]
