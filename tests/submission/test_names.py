"""What teams and entries may be called, and what may stand in free text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwsbench.errors import InputError
from kwsbench.submission.names import case_twins, parse_key, quoted, require_free_text, slug_problem

HOSTILE = [
    "",
    ".",
    "..",
    "a b",
    "Owls",
    "-a",
    "_a",
    "a\0b",
    "a\n",
    "a\u202eb",
    "совы",
    "a" * 64,
    "a" * 10_000,
    "a.b",
    "C:",
]


def test_a_key_is_a_team_and_an_entry() -> None:
    """A name of two slugs comes apart at the slash."""
    assert parse_key("blue-owls/tc_small-2") == ("blue-owls", "tc_small-2")


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name)[:20])
@pytest.mark.parametrize("place", [0, 1], ids=["team", "entry"])
def test_a_name_that_is_no_folder_everywhere_is_refused(name: str, place: int) -> None:
    """Hostile names are refused on either side, in a message that is short and steers no terminal."""
    parts = ["good", "good"]
    parts[place] = name
    with pytest.raises(InputError) as caught:
        parse_key("/".join(parts))
    assert len(str(caught.value)) < 500
    assert all(letter.isprintable() or letter == "\n" for letter in str(caught.value))


@pytest.mark.parametrize("key", ["owls", "a/b/c", "../owls", "/etc/passwd", "a/", "//"])
def test_a_key_of_another_form_is_refused(key: str) -> None:
    """Paths of another depth, or that lead elsewhere, are no keys."""
    with pytest.raises(InputError):
        parse_key(key)


@given(st.text(max_size=80))
def test_a_slug_is_safe_in_paths_addresses_and_tables(name: str) -> None:
    """Whatever passes is lower-case ASCII without dots, slashes or anything that begins a formula or an option."""
    if slug_problem(name, "team") is None:
        assert name.isascii()
        assert name == name.casefold()
        assert not set(name) & set("./\\=+@ \n")
        assert name[0].isalnum()


def test_a_slug_is_proposed_for_a_name_that_is_none() -> None:
    """The remedy names the nearest slug."""
    problem = slug_problem("Blue Owls!", "team")
    assert problem is not None
    assert "'blue-owls'" in problem.remedy


@pytest.mark.parametrize(
    "text", ["a\u202eb", "a\u200fb", "a\u2066b", "a\nb", "a\x1b[2J", "a\0", "\ufeffa", " a", "a\u2028b"]
)
def test_free_text_hides_nothing(text: str) -> None:
    """Direction marks, control characters, line breaks and spaces around are refused."""
    with pytest.raises(ValueError, match="without"):
        require_free_text(text)


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "=HYPERLINK(1)", "Совы и שלום", "naïve café", "🦉 owls"])
def test_free_text_may_say_anything(text: str) -> None:
    """Markup, formulas and any language are text: whoever shows them has to quote them."""
    assert require_free_text(text) == text


def test_names_that_differ_in_case_are_twins(tmp_path: Path) -> None:
    """A team or an entry beside which another case of its name lies is told."""
    for folder in ("owls/a", "Owls/a", "owls/A"):
        (tmp_path / folder).mkdir(parents=True)
    assert {twin.relative_to(tmp_path).as_posix() for twin in case_twins(tmp_path / "owls/a")} == {"Owls", "owls/A"}


def test_quoting_is_short() -> None:
    """Of a long name the beginning and the length are shown."""
    assert quoted("x" * 10_000) == f"'{'x' * 60}'... (10,000 characters)"
