"""A team's report: Markdown of strangers as HTML that holds nothing but text, links out, and its own pictures."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import unquote

from kwsbench.errors import InputError
from kwsbench.extras import import_extra
from kwsbench.leaderboard.site.pictures import Picture
from kwsbench.leaderboard.site.text import shown

MOST_LETTERS = 100_000
"""How much of a report is shown."""

_LINK = re.compile(r"(?:https?://|mailto:)[^\s]+", re.IGNORECASE)
_TAGS = frozenset(
    (
        "p",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "li",
        "blockquote",
        "pre",
        "code",
        "em",
        "strong",
        "s",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "hr",
        "br",
        "a",
        "img",
        "div",
    )
)
_ATTRIBUTES = {"a": {"href"}, "img": {"src", "alt", "width", "height"}, "ol": {"start"}, "div": {"role", "tabindex"}}
_CLASSES = {tag: {"right", "centre"} for tag in ("th", "td")} | {"div": {"wide"}}
_REL = "noopener noreferrer nofollow ugc"
_ALIGNMENTS = {"text-align:right": "right", "text-align:center": "centre"}


@dataclass
class SafeReport:
    """A report that can stand on a page.

    Attributes:
        html: The report, sanitised.
        pictures: The pictures that it shows.
        notes: What was left out and why, one sentence each.
    """

    html: str = ""
    pictures: dict[str, Picture] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def safe_report(
    markdown: str, read_picture: Callable[[str], Picture] | None = None, prefix: str = "", top_level: int = 3
) -> SafeReport:
    """Renders Markdown.

    Raw HTML in it is shown as text. Headings begin at `top_level` and skip no level. A link leads to http, https or
    mailto, or becomes its text. A picture is one that `read_picture` returns, or becomes a note.

    Args:
        markdown: Anybody's.
        read_picture: Returns a picture by its name, or raises InputError with a reason; None allows no pictures.
        prefix: What the address of a picture begins with.
        top_level: Level of its highest headings on the page.
    """
    report = SafeReport()
    if len(markdown) > MOST_LETTERS:
        report.notes.append(f"Only the first {MOST_LETTERS:,} characters of the report are shown.")
    tokens = _parser().parse(without_hidden(markdown[:MOST_LETTERS]))
    _level_headings(tokens, top_level)
    _align_cells(tokens)
    for token in tokens:
        if token.children:
            token.children = list(_safe_inline(token.children, report, read_picture, prefix))
    rendered = _parser().renderer.render(tokens, _parser().options, {})
    report.html = _sanitised(rendered.replace("<table>", _WIDE).replace("</table>", "</table></div>"))
    return report


_WIDE = '<div class="wide" role="group" tabindex="0"><table>'


def _sanitised(rendered: str) -> str:
    nh3 = import_extra("nh3", "leaderboard")
    return without_hidden(
        nh3.clean(
            rendered,
            tags=set(_TAGS),
            attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
            allowed_classes=_CLASSES,
            url_schemes={"http", "https", "mailto"},
            link_rel=_REL,
        )
    )


def without_hidden(text: str) -> str:
    """Returns a text without control, direction and other invisible characters, line breaks and tabs aside."""
    return "".join(letter for letter in text if letter in "\n\t" or not unicodedata.category(letter).startswith("C"))


@cache
def _parser() -> Any:
    markdown_it = import_extra("markdown_it", "leaderboard", "markdown-it-py")
    return markdown_it.MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _level_headings(tokens: Sequence[Any], top_level: int) -> None:
    """Puts the highest headings at a level, the next ones below it, and lets none skip a level."""
    used = sorted({token.tag for token in tokens if token.type == "heading_open"})
    before = top_level - 1
    for token in tokens:
        if token.type == "heading_open":
            before = min(top_level + used.index(token.tag), before + 1, 6)
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{before}"


def _align_cells(tokens: Sequence[Any]) -> None:
    """Says by class how a cell is aligned: a style in the markup is what the page's policy forbids."""
    for token in tokens:
        style = token.attrs.pop("style", None)
        if style in _ALIGNMENTS:
            token.attrs["class"] = _ALIGNMENTS[style]


def _safe_inline(
    children: Sequence[Any], report: SafeReport, read_picture: Callable[[str], Picture] | None, prefix: str
) -> Iterator[Any]:
    dropped = 0
    for token in children:
        if token.type == "link_open" and not _LINK.fullmatch(str(token.attrs.get("href", ""))):
            report.notes.append(f"A link to {shown(str(token.attrs.get('href', '')), 60)!r} was left out.")
            dropped += 1
        elif token.type == "link_close" and dropped:
            dropped -= 1
        elif token.type == "image":
            yield _safe_image(token, report, read_picture, prefix)
        else:
            yield token


def _safe_image(token: Any, report: SafeReport, read_picture: Callable[[str], Picture] | None, prefix: str) -> Any:
    name = unquote(str(token.attrs.get("src", ""))).removeprefix("./")
    if read_picture is None:
        return _picture_as_text(token, name, "there are none here", report)
    try:
        picture = report.pictures.get(name) or read_picture(name)
    except InputError as error:
        return _picture_as_text(token, name, error.message, report)
    report.pictures[name] = picture
    token.attrs = {"src": prefix + name, "alt": "", "width": str(picture.width), "height": str(picture.height)}
    return token


def _picture_as_text(token: Any, name: str, reason: str, report: SafeReport) -> Any:
    remote = re.match(r"[a-z][a-z0-9+.-]*:|//", name, re.IGNORECASE)
    why = "pictures from elsewhere are not loaded" if remote else reason
    report.notes.append(f"The picture {shown(name, 60)!r} was left out: {why}.")
    token.type, token.tag, token.attrs, token.children = "text", "", {}, None
    token.content = f"[picture left out: {shown(token.content, 80) or shown(name, 80)}]"
    return token
