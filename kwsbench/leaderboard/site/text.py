"""Text of strangers on a page: what cannot be seen, or steers what stands beside it, is left out."""

from __future__ import annotations

import unicodedata
from itertools import groupby

TITLE_LETTERS = 120
"""Longest title on a page of its own."""
CELL_LETTERS = 48
"""Longest title in a row of a table."""

_ELLIPSIS = "…"
_MOST_MARKS = 3
_READ_AT_MOST = 20_000


def shown(text: str, most: int = TITLE_LETTERS) -> str:
    r"""Returns a text as one line that can stand on a page.

    Control, direction and other invisible characters are left out, white space becomes single spaces, piles of
    combining marks are cut to three, and what is longer than `most` characters ends in an ellipsis. Escaping is the
    template's.

    Args:
        text: Anybody's.
        most: Most characters of the result.

    >>> shown("blue\x00 \u202eowls\n\t are  here"), shown("a" * 10, most=4)
    ('blue owls are here', 'aaa…')
    """
    if len(text) <= most and text.isascii() and text.isprintable():
        return " ".join(text.split())
    kept = "".join(_visible(letter) for letter in unicodedata.normalize("NFC", text[:_READ_AT_MOST]))
    line = " ".join(_with_few_marks(kept).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + _ELLIPSIS


def _visible(letter: str) -> str:
    category = unicodedata.category(letter)
    if letter.isspace() or category in {"Zl", "Zp"}:
        return " "
    return "" if category.startswith("C") else letter


def _with_few_marks(text: str) -> str:
    runs = ("".join(run) for _, run in groupby(text, key=_is_mark))
    return "".join(run[:_MOST_MARKS] if _is_mark(run[0]) else run for run in runs)


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter) in {"Mn", "Me"}
