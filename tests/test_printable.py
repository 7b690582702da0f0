"""Text of strangers on a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kwsbench.printable import printable


@given(st.text())
def test_nothing_is_left_that_could_steer_a_terminal(text: str) -> None:
    """What comes out has as many characters, each the same or a question mark, and is printable as a whole."""
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert all(new in (old, "?") for new, old in zip(shown, text, strict=True))


@given(st.text(alphabet="ab\n\x1b\x07"))
def test_line_breaks_are_kept_where_they_are_meant(text: str) -> None:
    """With `keeps`, lines stay lines, and nothing else gets through."""
    assert printable(text, keeps="\n").split("\n") == [printable(line) for line in text.split("\n")]
