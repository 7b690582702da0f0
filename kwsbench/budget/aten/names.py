"""Lists of names as a text with blanks between them."""

from __future__ import annotations


def names(text: str) -> frozenset[str]:
    """Returns the words of a text.

    >>> sorted(names("mm bmm"))
    ['bmm', 'mm']
    """
    return frozenset(text.split())
