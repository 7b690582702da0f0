"""The one error type and the problems that it carries."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.errors import (
    CheckFailedError,
    InputError,
    KwsbenchError,
    Problem,
    ProblemLog,
    RefusedError,
    did_you_mean,
)

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200, database=None)


def test_a_problem_says_where_what_and_what_to_do() -> None:
    """All parts of a problem appear, in the order in which a reader needs them."""
    problem = Problem("preds.csv, line 3", "the label 'yse'", "one of yes, no", "did you mean 'yes'?")
    assert str(problem) == "preds.csv, line 3: found the label 'yse', expected one of yes, no; did you mean 'yes'?"


def test_a_problem_without_expectation_and_remedy_is_short() -> None:
    """Parts that are empty leave nothing behind."""
    assert str(Problem("a.wav", "no samples")) == "a.wav: found no samples"


def test_a_problem_that_stands_for_many_says_how_many_more() -> None:
    """The count of others excludes the one that is shown."""
    assert str(Problem("a.wav", "noise", "speech", count=1_235)).endswith("expected speech (and 1,234 more like it)")
    assert str(Problem("a.wav", "noise", count=2)) == "a.wav: found noise (and 1 more like it)"
    assert str(Problem("a.wav", "noise", count=1)) == "a.wav: found noise"


@pytest.mark.parametrize(("error", "exit_code"), [(CheckFailedError, 1), (InputError, 2), (RefusedError, 3)])
def test_each_error_has_its_exit_code(error: type[KwsbenchError], exit_code: int) -> None:
    """A failed check exits with 1, bad input with 2, a refusal with 3, and all are one type."""
    assert issubclass(error, KwsbenchError)
    assert error("no").exit_code == exit_code


def test_an_error_shows_its_message_and_every_problem() -> None:
    """The text of an error is its message and one line for each problem, in their order."""
    error = InputError("two things are wrong", iter([Problem("b", "2"), Problem("a", "1")]))
    assert str(error) == "two things are wrong\n  - b: found 2\n  - a: found 1"
    assert error.problems == (Problem("b", "2"), Problem("a", "1"))


def test_a_log_keeps_the_first_of_each_kind_and_counts_the_rest() -> None:
    """Beyond the limit the last one kept carries the count, and kinds do not use up each other's room."""
    log = ProblemLog(keep=2)
    for number in range(5):
        log.add("label", Problem(f"line {number}", "a label"))
    log.add("path", Problem("line 9", "a path"))
    assert len(log) == 6
    assert [(problem.where, problem.count) for problem in log.problems()] == [
        ("line 0", 1),
        ("line 1", 4),
        ("line 9", 1),
    ]


@PROPERTY
@given(st.lists(st.sampled_from("abc")), st.integers(1, 4))
def test_a_log_loses_nothing(kinds: list[str], keep: int) -> None:
    """The counts of what is shown add up to what was noted."""
    log = ProblemLog(keep)
    for kind in kinds:
        log.add(kind, Problem(kind, "it"))
    assert sum(problem.count for problem in log.problems()) == len(log) == len(kinds)


@pytest.mark.parametrize(
    ("word", "hint"),
    [("yse", "did you mean 'yes'?"), (" YES ", "did you mean 'yes'?"), ("Sber", "did you mean 'sber'?"), ("zzz", "")],
)
def test_a_hint_names_the_nearest_word(word: str, hint: str) -> None:
    """Slips of the finger, case and blanks are seen through; a word unlike any other gets no hint."""
    assert did_you_mean(word, ["yes", "no", "sber"]) == hint


def test_there_is_no_hint_without_words() -> None:
    """Where nothing is known, nothing is suggested."""
    assert did_you_mean("yes", iter(())) == ""
