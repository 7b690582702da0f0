"""What the tests of the site share: a board like a course's, its site, and one browser for all."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kwsbench.leaderboard.board import Board, Entry, Rejected, SpeakerErrors
from kwsbench.leaderboard.site.build import build_site
from tests.leaderboard.site.boards import REPORT, board_of, course

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def png(width: int = 32, height: int = 16) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + bytes([128]) * width) * height
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def on_disk(entry: Entry, root: Path, report: str = REPORT) -> Entry:
    """The entry with a report and a picture in a folder of its own."""
    folder = root / entry.key
    folder.mkdir(parents=True)
    content = report.encode("utf-8", "surrogatepass")
    (folder / "report.md").write_bytes(content)
    (folder / "loss.png").write_bytes(png())
    sha256 = {**entry.submission.sha256, "report": hashlib.sha256(content).hexdigest()}
    submission = replace(entry.submission, folder=folder, report=folder / "report.md", sha256=sha256)
    return replace(entry, submission=submission)


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """Two dozen entries with reports, baselines, unranked ones, and two that were rejected."""
    root = tmp_path_factory.mktemp("submissions")
    speakers = (SpeakerErrors("00a1b2c3", 18, 5), SpeakerErrors("0c540988", 22, 4))
    entries = [replace(on_disk(entry, root), worst_speakers=speakers) for entry in course()]
    rejected = (
        Rejected("blue-owls/late", ("preds.csv, line 3: found 'maybe', expected a label; use one of yes, no",)),
        Rejected("Éclair/<b>x</b>", ("the team's folder: found 'Éclair', expected small letters; call it 'eclair'",)),
    )
    return board_of(*entries, rejected=rejected)


@pytest.fixture(scope="session")
def site(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of that board, below a path with a space in it."""
    folder = tmp_path_factory.mktemp("sites") / "my course" / "site"
    build_site(board, folder)
    return folder


@dataclass
class Visitor:
    """Somebody with a browser window.

    Attributes:
        page: What the window shows.
        messages: What the page said on the console, and errors in its scripts.
    """

    page: Any
    messages: list[str]
    site: Path

    def open(self, address: str = "index.html") -> Any:
        """Opens a page of the site from the disk."""
        self.page.goto(f"{self.site.as_uri()}/{address}")
        return self.page

    def rows(self) -> list[str]:
        """The titles of the rows that are shown, in their order."""
        return list(self.page.locator("#ranking tbody tr:visible th a").all_inner_texts())

    def column(self, number: int) -> list[str]:
        """What stands in a column of the rows that are shown, from 1 on."""
        return list(self.page.locator(f"#ranking tbody tr:visible td:nth-child({number})").all_inner_texts())


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for all tests; without one they are skipped, or fail where they must not be."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    missing = "no Chromium is installed" if path is None else ""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing = "Playwright is not installed"
    if missing and os.environ.get("KWSBENCH_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{missing}, and KWSBENCH_REQUIRE_BROWSER=1 asks for it")
    if missing:
        pytest.skip(missing)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, site: Path) -> Iterator[Callable[..., Visitor]]:
    """Opens windows, with options of a Playwright context; each must stay without a message on the console."""
    contexts = []
    visitors: list[Visitor] = []

    def new(**options: Any) -> Visitor:
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **options})
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        visitor = Visitor(page, [], site)
        page.on("console", lambda message: visitor.messages.append(message.text))
        page.on("pageerror", lambda error: visitor.messages.append(str(error)))
        visitors.append(visitor)
        return visitor

    yield new
    for context in contexts:
        context.close()
    assert [visitor.messages for visitor in visitors if visitor.messages] == []
