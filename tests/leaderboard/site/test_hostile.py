"""What strangers write: it stands on the page as text, or not at all."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.errors import InputError
from kwsbench.leaderboard.board import Board, Rejected
from kwsbench.leaderboard.site import build
from kwsbench.leaderboard.site.downloads import csv_bytes, json_bytes
from kwsbench.leaderboard.site.pictures import MOST_PIXELS, Picture, kind_and_size, read_picture
from kwsbench.leaderboard.site.rendering import Templates
from kwsbench.leaderboard.site.report import MOST_LETTERS, safe_report
from kwsbench.leaderboard.site.text import shown
from tests.leaderboard.site.boards import board_of, entry_of, rules_of
from tests.leaderboard.site.conftest import on_disk, png
from tests.leaderboard.site.pages import Seen, seen_in

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></head><body><h1>mine</h1>",
    "{{ 7 * 7 }}{% for x in y %}",
    '=HYPERLINK("http://evil.example")',
    "\u202emoc.live\u202c \u2066x\u2069",
    "a" * 10_000,
    "nul\0 and bell\a and escape\x1b[2J",
    "half a letter \ud800 and \udfff",
    "]]>--><![CDATA[",
    "Z\u0300" + "\u0301" * 500,
)
HIDDEN = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\ufeff\u200b"


def pages_of(board: Board) -> dict[str, str]:
    """Every page that shows what a team calls things."""
    pages = build._Pages(board, Templates(), {name: path for name, (path, _) in build._assets().items()})
    return {name: content.decode() for name, content in pages.others()}


def board_with(text: str) -> Board:
    """A board in which everything that a stranger writes is this text."""
    entry = entry_of(1, 3.0)
    stated = dict.fromkeys(("title", "manifest", "split", "kwsbench", "clips_sha256"), text)
    submission = replace(entry.submission, **stated, members=(text,))
    checked = replace(entry.verification, reason=text, mismatches=(text,), num_mismatches=1, versions={text: text})
    entry = replace(entry, submission=submission, verification=checked, unranked_because=text or "because")
    board = board_of(entry, rejected=(Rejected(text, (text,)),), rules=rules_of(text=text))
    return replace(board, provenance={"manifest": text})


def structure(pages: dict[str, str]) -> dict[str, list[str]]:
    """The elements of pages; what the host writes as Markdown may have its own, within limits."""
    return {name: seen_in(text).tags for name, text in pages.items() if name not in {"task.html", "index.html"}}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:16].encode("ascii", "backslashreplace").decode())
def test_hostile_words_add_no_element_and_no_attribute(text: str, tmp_path: Path) -> None:
    """Markup, templates, marks of direction and long names add nothing to the structure of any page, nor hide in it."""
    board, plain = board_with(text), board_with("plain words")
    assert structure(pages_of(board)) == structure(pages_of(plain))
    build.build_site(board, tmp_path / "site")
    build.build_site(plain, tmp_path / "plain")
    for path in (tmp_path / "site").rglob("*.html"):
        page, other = path.read_text(encoding="utf-8"), tmp_path / "plain" / path.relative_to(tmp_path / "site")
        assert not set(page) & {*HIDDEN, "\0", "\a", "\x1b"}
        assert len(page) < 60_000
        assert seen_in(page).attributes <= seen_in(other.read_text(encoding="utf-8")).attributes | {"class"}
        assert "script" not in seen_in(page.partition("</head>")[2]).tags


@settings(max_examples=12, deadline=None)
@given(st.text(max_size=60))
def test_no_title_changes_the_structure(text: str) -> None:
    """Whatever a title is, the pages have the elements that they always have."""
    assert structure(pages_of(board_with(text))) == structure(pages_of(board_with("plain words")))


@given(st.text(max_size=300), st.integers(2, 120))
def test_a_shown_text_is_one_visible_line_of_limited_length(text: str, most: int) -> None:
    """No control or direction character survives, no line break, and the limit is kept; showing it twice is showing it once."""
    line = shown(text, most)
    assert len(line) <= most
    assert not set(line) & {*HIDDEN, "\0", "\n", "\r", "\t", "\u2028"}
    assert line == line.strip()
    assert shown(line, most) == line


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_no_cell_is_a_formula(cells: list[str]) -> None:
    """No cell of a CSV begins with what a spreadsheet computes, and each is read back as one cell."""
    (row,) = csv.reader(io.StringIO(csv_bytes([["x", *cells]]).decode()))
    assert len(row) == len(cells) + 1
    assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_figures_are_left_as_they_are() -> None:
    """A negative number is no formula, what is undefined is empty, and JSON has null for it."""
    assert csv_bytes([["a", -0.5, float("nan"), None, 3]]) == b"a,-0.5,,,3\n"
    assert json.loads(json_bytes({"a": float("nan"), "b": "\u202e"})) == {"a": None, "b": "\u202e"}
    assert json_bytes({"b": "\u202e"}).isascii()


REPORTS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](//evil.example/)",
    "[x](../../../../index.html)",
    "[x](#main)",
    "<javascript:alert(1)>",
    "[x][1]\n\n[1]: vbscript:x",
    "![x](http://evil.example/pixel.png)",
    "![x](//evil.example/pixel.png)",
    "![x](../../other/entry/loss.png)",
    "![x](..%2f..%2fsecret.png)",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "![x](picture.svg)",
    '![" onerror=alert(1) x="](loss.png)',
    "[![x](http://evil.example/p.png)](javascript:alert(1))",
    "| a |\n|:-:|\n| <td onclick=x> |",
    '```js" onclick=alert(1)\nx\n```',
    "&#x202e;evil &#0; \u2066x",
    "<!-- --><svg/onload=alert(1)>",
    "# " * 50 + "x",
)


def refuse(name: str) -> Picture:
    """A folder that holds no picture but one."""
    if name != "loss.png":
        raise InputError("no such picture")
    return Picture(name, png(), 32, 16)


@pytest.mark.parametrize("markdown", REPORTS)
def test_a_report_is_text_links_out_and_its_own_pictures(markdown: str) -> None:
    """Whatever a report says: no script, no handler, no style, no address but http, https, mailto and its own pictures."""
    report = safe_report(markdown, refuse, "model-1/")
    seen = seen_in(report.html)
    assert not {"script", "svg", "iframe", "style", "object", "form", "input", "base", "meta", "link"} & set(seen.tags)
    assert seen.attributes <= {"href", "rel", "src", "alt", "width", "height", "class", "role", "tabindex", "start"}
    assert [url for url in seen.urls if url != "model-1/loss.png"] == []
    assert not set(report.html) & {*HIDDEN, "\0"}


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("<>\"'`[]()!#*_-|:&;=/\\ \n\0aonclickjvsrpt\u202e"), max_size=120))
def test_no_report_escapes(markdown: str) -> None:
    """Reports made of what Markdown and HTML are made of have no element or address that is not allowed."""
    seen: Seen = seen_in(safe_report(markdown, refuse).html)
    assert not {"script", "svg", "style", "iframe"} & set(seen.tags)
    assert not [name for name in seen.attributes if name.startswith("on") or name == "style"]
    assert not [url for url in seen.urls if not url.startswith(("http:", "https:", "mailto:"))]


def test_a_report_says_what_it_should() -> None:
    """Headings are levelled, links out are marked, tables aligned by class, pictures sized, and the rest is kept."""
    markdown = (
        "# Top\n\n### Deep\n\n[a](https://example.org) <b@example.org>\n\n|x|\n|--:|\n|1|\n\n![loss](./loss.png) ~~no~~"
    )
    report = safe_report(markdown, refuse, "model-1/")
    assert "<h3>Top</h3>" in report.html
    assert "<h4>Deep</h4>" in report.html
    assert 'rel="noopener noreferrer nofollow ugc"' in report.html
    assert '<td class="right">1</td>' in report.html
    assert 'src="model-1/loss.png"' in report.html
    assert 'alt="loss"' in report.html
    assert 'width="32" height="16"' in report.html
    assert list(report.pictures) == ["loss.png"]
    assert report.notes == []


def test_what_is_left_out_of_a_report_is_said() -> None:
    """A remote picture and a bad link become words, each with a note; a report that is too long says where it ends."""
    report = safe_report("![me](https://evil.example/x.png) [here](javascript:x)", refuse)
    assert "[picture left out: me]" in report.html
    assert report.notes[0].endswith("pictures from elsewhere are not loaded.")
    assert safe_report("a" * (MOST_LETTERS + 1)).notes == [
        f"Only the first {MOST_LETTERS:,} characters of the report are shown."
    ]


@pytest.mark.parametrize("unit", ["[", "![", "*a ", "> ", "- ", "`", "a](", "<", "&", "|a\n|-\n", "[a](b "])
def test_a_report_of_nothing_but_brackets_ends(unit: str) -> None:
    """Markdown that makes parsers slow is rendered all the same, deep nesting included."""
    safe_report(unit * (20_000 // len(unit)))


def test_pictures_are_what_their_bytes_say(tmp_path: Path) -> None:
    """A picture is taken by its content, its suffix must agree, and neither a script, a link nor a bomb passes."""
    folder = tmp_path / "entry"
    (folder / "private").mkdir(parents=True)
    for place in (folder / "good.png", folder / "private" / "good.png", tmp_path / "outside.png"):
        place.write_bytes(png(30, 20))
    (folder / "script.png").write_bytes(b"<svg onload=alert(1)>")
    (folder / "wrong.jpg").write_bytes(png())
    (folder / "bomb.png").write_bytes(png(1, 1).replace((1).to_bytes(4, "big") * 2, (60_000).to_bytes(4, "big") * 2))
    (folder / "large.png").write_bytes(png() + bytes(3 << 20))
    (folder / "link.png").symlink_to(folder / "good.png")
    (folder / "picture.svg").write_bytes(b"<svg/>")
    picture = read_picture(folder, "good.png")
    assert (picture.width, picture.height) == (30, 20)
    for name in (
        "script.png",
        "wrong.jpg",
        "bomb.png",
        "large.png",
        "link.png",
        "picture.svg",
        "none.png",
        "../outside.png",
        "private/good.png",
        "x\0.png",
    ):
        with pytest.raises(InputError):
            read_picture(folder, name)


def test_sizes_of_pictures_are_read_from_every_format() -> None:
    """JPEG and WebP in their forms say how large they are, and a header that is cut short says nothing."""
    jpeg = b"\xff\xd8\xff\xe0\x00\x04JF" + b"\xff\xc2\x00\x0b\x08\x00\x14\x00\x1e\x03"
    lossless = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + (29 | 19 << 14).to_bytes(4, "little")
    extended = b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0" + (29).to_bytes(3, "little") + (19).to_bytes(3, "little")
    lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + (30).to_bytes(2, "little") + (20).to_bytes(2, "little")
    assert [kind_and_size(content) for content in (jpeg, lossless, extended, lossy)] == [
        ("jpeg", (30, 20)),
        ("webp", (30, 20)),
        ("webp", (30, 20)),
        ("webp", (30, 20)),
    ]
    assert kind_and_size(png()[:18]) == ("", (0, 0))
    assert kind_and_size(b"GIF89a") == ("", (0, 0))
    assert MOST_PIXELS < 60_000**2


@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8 ", b"\x89PNG\r\n\x1a\n\0\0\0\0IHDR"]),
)
def test_no_header_of_a_picture_is_a_crash(content: bytes, start: bytes) -> None:
    """Any bytes have a kind and a size or none, at once."""
    kind, (width, height) = kind_and_size(start + content)
    assert kind in {"", "png", "jpeg", "webp"}
    assert min(width, height) >= 0


def test_a_report_in_another_encoding_is_shown(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 become replacement characters, not an error."""
    entry = on_disk(entry_of(1, 3.0), tmp_path, report="plain \udcff words")
    build.build_site(board_of(entry), tmp_path / "site")
    assert "plain" in (tmp_path / "site" / "entries" / f"{entry.key}.html").read_text(encoding="utf-8")
