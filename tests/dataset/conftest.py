"""What the tests of archives share: archives made byte by byte, a server that misbehaves, a disk that is too small."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import http.server
import io
import lzma
import re
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CLIPS = {"yes/a.wav": b"yes", "no/b.wav": b"no" * 1000, "README.md": b"read me"}


def tar_bytes(
    *members: tuple[str, bytes],
    kind: bytes = tarfile.REGTYPE,
    pax: dict[str, str] | None = None,
    encoding: str = "utf-8",
) -> bytes:
    """Returns a tar with these names word for word."""
    layout = tarfile.PAX_FORMAT if encoding == "utf-8" else tarfile.GNU_FORMAT
    with io.BytesIO() as stream:
        with tarfile.open(fileobj=stream, mode="w", format=layout, encoding=encoding) as archive:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.pax_headers = pax or {}
                info.type = tarfile.DIRTYPE if name.endswith("/") else kind
                info.size = len(content) if info.isreg() else 0
                info.linkname = "/etc/passwd" if info.issym() or info.islnk() else ""
                info.mode = 0o7777
                archive.addfile(info, io.BytesIO(content))
        return stream.getvalue()


def zip_bytes(*members: tuple[str, bytes], mode: int = 0, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Returns a zip with these names word for word."""
    with io.BytesIO() as stream:
        with zipfile.ZipFile(stream, "w") as archive, warnings.catch_warnings(action="ignore"):
            for name, content in members:
                info = zipfile.ZipInfo("x")
                info.filename, info.external_attr, info.compress_type = name, mode << 16, method
                archive.writestr(info, content)
        return stream.getvalue()


def folder_of(root: Path) -> dict[str, bytes]:
    """Returns every file below `root` with its content."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def with_header(content: bytes, **fields: int) -> bytes:
    """Overwrites fields of the first member in both headers of a zip."""
    places = {"flags": (6, 8, "<H"), "size": (22, 24, "<I")}
    result = bytearray(content)
    directory = result.index(b"PK\x01\x02")
    for name, value in fields.items():
        local, central, layout = places[name]
        struct.pack_into(layout, result, local, value)
        struct.pack_into(layout, result, directory + central, value)
    return bytes(result)


PACKINGS: dict[str, Callable[[], bytes]] = {
    "zip": lambda: zip_bytes(*CLIPS.items()),
    "stored zip": lambda: zip_bytes(*CLIPS.items(), method=zipfile.ZIP_STORED),
    "tar": lambda: tar_bytes(*CLIPS.items()),
    "tar.gz": lambda: gzip.compress(tar_bytes(*CLIPS.items())),
    "tar.bz2": lambda: bz2.compress(tar_bytes(*CLIPS.items())),
    "tar.xz": lambda: lzma.compress(tar_bytes(*CLIPS.items())),
}


def written(tmp_path: Path, content: bytes) -> Path:
    """Writes an archive whose name says nothing about its format."""
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    return archive


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Path]:
    """A destination that holds something already; the test must leave it, and nothing else, beside the archive."""
    destination = tmp_path / "out"
    destination.mkdir()
    (destination / "old.wav").write_bytes(b"old")
    yield destination
    assert folder_of(destination) == {"old.wav": b"old"}
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "archive"}


BODY = b"\x1f\x8b" + hashlib.shake_256(b"an archive").digest(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
OTHER = b"PK" + hashlib.shake_256(b"another archive").digest(300_000)
PAGE = b"<!DOCTYPE html><html><body>Welcome to the hotel</body></html>"


@dataclass(frozen=True)
class Answer:
    """What the server does with one request.

    Attributes:
        body: The file as it is then; its hash is the ETag.
        status: An error to answer with instead.
        drop_after: Bytes of the body after which the connection is cut.
        ignores_range: Sends the whole file whatever part was asked for.
        says_length: Sends Content-Length; without it, the body ends with the connection.
        headers: More headers, or other ones; an empty one is left out.
        pause_s: Rest after each 64 KiB.
        shift: Error in the position of a partial answer.
    """

    body: bytes = BODY
    status: int = 0
    drop_after: int | None = None
    ignores_range: bool = False
    says_length: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    shift: int = 0


@dataclass
class Request:
    """What came in, and how many bytes of the body went out."""

    path: str
    headers: dict[str, str]
    sent_bytes: int = 0


class Server:
    """A server on 127.0.0.1 that gives the `answers` one after the other, the last one for ever."""

    def __init__(self) -> None:
        self.answers = [Answer()]
        self.requests: list[Request] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = server.answers[min(len(server.requests), len(server.answers) - 1)]
                request = Request(self.path, dict(self.headers.items()))
                server.requests.append(request)
                with contextlib.suppress(ConnectionError):
                    respond(self, request, answer)

            def log_message(self, *_: object) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}/archive.tar.gz"

    def ranges(self) -> list[str | None]:
        """Returns what part of the file each request asked for."""
        return [request.headers.get("Range") for request in self.requests]

    def close(self) -> None:
        """Stops listening."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def respond(handler: http.server.BaseHTTPRequestHandler, request: Request, answer: Answer) -> None:
    """Sends an answer, and notes how much of it went out."""
    handler.close_connection = True
    if answer.status:
        handler.send_error(answer.status)
        return
    etag = f'"{hashlib.sha256(answer.body).hexdigest()[:8]}"'
    asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    start = int(asked[1]) if asked and not answer.ignores_range else 0
    if request.headers.get("If-Range", etag) not in {etag, answer.headers.get("Last-Modified")}:
        start = 0
    if start >= len(answer.body):
        handler.send_error(416)
        return
    body = answer.body[start:]
    headers = {"ETag": etag, "Content-Type": "application/gzip"}
    if answer.says_length:
        headers["Content-Length"] = str(len(body))
    if start:
        begin = start + answer.shift
        headers["Content-Range"] = f"bytes {begin}-{begin + len(body) - 1}/{len(answer.body)}"
    handler.send_response(206 if start else 200)
    for name, value in (headers | answer.headers).items():
        if value:
            handler.send_header(name, value)
    handler.end_headers()
    send_body(handler, request, answer, body)


def send_body(handler: http.server.BaseHTTPRequestHandler, request: Request, answer: Answer, body: bytes) -> None:
    """Sends the body, piece by piece, as far as it shall go."""
    body = body[: answer.drop_after]
    for begin in range(0, len(body), 2**16):
        piece = body[begin : begin + 2**16]
        handler.wfile.write(piece)
        handler.wfile.flush()
        request.sent_bytes += len(piece)
        time.sleep(answer.pause_s)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port of this machine that nobody listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that behaves unless its answers say otherwise."""
    running = Server()
    yield running
    running.close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where to put the file, in a folder that does not exist yet."""
    return tmp_path / "data" / "archive.tar.gz"


def part_of(target: Path) -> Path:
    """Returns where the part of a file is kept."""
    return target.with_name(f"{target.name}.part")


def names_beside(target: Path) -> set[str]:
    """Returns the endings of everything that is in the target's folder; an empty one for the target itself."""
    return {path.name.removeprefix(target.name) for path in target.parent.iterdir()}


def at_once(_attempt: int) -> None:
    """Waits for nothing."""


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits until something is so; a minute is for ever."""
    for _ in range(12_000):
        if condition():
            return
        time.sleep(0.005)
    pytest.fail("it never happened")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one mebibyte."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs the right to mount")
    yield place
    subprocess.run(["umount", str(place)], check=True)
