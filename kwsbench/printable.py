"""Text of strangers as it may be shown: nothing in it steers a terminal."""

from __future__ import annotations


def printable(text: str, keeps: str = "") -> str:
    r"""Returns a text with a question mark for every character that is not shown as itself.

    Args:
        text: A name, a label, a message: anybody's.
        keeps: Characters that are left in all the same, such as the line breaks of a message.

    >>> printable("soft\x1b[2Jmax\r\n"), printable("one\ntwo", keeps="\n")
    ('soft?[2Jmax??', 'one\ntwo')
    """
    return "".join(letter if letter.isprintable() or letter in keeps else "?" for letter in text)
