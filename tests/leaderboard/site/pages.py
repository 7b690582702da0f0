"""Reads pages as a browser would: elements, addresses, words."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

URL_ATTRIBUTES = ("href", "src", "action", "data", "formaction", "poster", "xlink:href")


@dataclass
class Seen(HTMLParser):
    """What there is on a page.

    Attributes:
        tags: Elements in their order.
        urls: Addresses in attributes.
        ids: Names of places on the page.
        attributes: Names of all attributes.
        words: Text.
    """

    tags: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    words: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes an element."""
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.urls += [value or "" for name, value in attrs if name in URL_ATTRIBUTES]
        self.ids |= {value or "" for name, value in attrs if name == "id"}

    def handle_data(self, data: str) -> None:
        """Notes words."""
        self.words += data


def seen_in(html: str) -> Seen:
    """Reads a page."""
    seen = Seen()
    seen.feed(html)
    seen.close()
    return seen
