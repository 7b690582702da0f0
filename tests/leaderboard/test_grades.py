"""Points from a board: by band, by a scale, less lateness, with how they came about, and harmless to a spreadsheet."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest

from kwsbench.errors import InputError
from kwsbench.leaderboard.board import Rejected
from kwsbench.leaderboard.grades import COLUMNS, Grade, grades, grades_csv
from tests.leaderboard.courses import MONDAY, Course

BANDS = '[points]\nby = "band"\nbands = [10, 7]'
LATE = "deadline = 2026-11-02T13:00:00Z\n[late]\ndays = 3\npoints_per_day = 2.5\n"


def _graded(course: Course, **sources: Any) -> dict[str, Grade]:
    return {grade.team: grade for grade in grades(course.board(private=True, **sources))}


def test_points_follow_the_band(course: Course) -> None:
    """Band 1 gets the first number, band 2 the second, and every band after it the last."""
    course.set_rules(BANDS)
    for team, wrong in {"a": 0, "b": 1, "c": 40, "d": 100}.items():
        course.add(f"{team}/one", wrong)
    found = _graded(course)
    assert {team: grade.points for team, grade in found.items()} == {"a": 10, "b": 10, "c": 7, "d": 7}
    assert found["c"].why_points == "band 2 gets 7"
    assert found["a"].why_entry == "its only final entry"


def test_points_follow_a_scale_between_two_entries(course: Course) -> None:
    """Points are on a line from one entry's figure to another's, and never outside of it."""
    course.set_rules('[points]\nby = "scale"\nmost = 20\nzero_at = "baselines/low"\nfull_at = 0.9')
    course.add("baselines/low", 100)  # 0.5
    for team, wrong in {"a": 0, "b": 60, "c": 120}.items():
        course.add(f"{team}/one", wrong)
    found = _graded(course)
    assert {team: grade.points for team, grade in found.items()} == {"a": 20, "b": 10, "c": 0}
    assert found["b"].why_points == "20 x (0.7000 - 0.5000) / (0.9000 - 0.5000), from 0 to 20 = 10"


def test_a_scale_works_downwards_for_error_rates(course: Course) -> None:
    """Where lower is better full_at is the smaller figure, and half of the way is half of the points."""
    course.set_rules('[ranking]\nmetric = "frr"\n[points]\nby = "scale"\nmost = 10\nzero_at = 1.0\nfull_at = 0.0')
    course.add("a/one", 100)
    assert _graded(course)["a"].points == 5


def test_a_scale_without_its_entry_is_an_error(course: Course) -> None:
    """An entry that the scale names and that is not there, or two that are worth the same, cannot be graded by."""
    course.set_rules('[points]\nby = "scale"\nzero_at = "baselines/low"\nfull_at = 0.9')
    course.add("a/one", 5)
    with pytest.raises(InputError, match="'baselines/low' is no entry"):
        _graded(course)
    course.add("baselines/low", 20)
    with pytest.raises(InputError, match="no scale between them"):
        _graded(course)


def test_late_days_cost_points_and_never_more_than_there_are(course: Course) -> None:
    """Each day that has begun costs its points; the derivation says how many, and nobody gets less than none."""
    course.set_rules(LATE + BANDS)
    course.add("a/one", 0, submitted=MONDAY + timedelta(days=1))
    course.add("b/one", 100, submitted=MONDAY + timedelta(days=2, hours=2))
    found = _graded(course)
    assert (found["a"].points, found["a"].lost) == (7.5, 2.5)
    assert found["a"].why_points == "band 1 gets 10; less 1 late day x 2.5 = 2.5; together 7.5"
    assert (found["b"].before, found["b"].lost, found["b"].points) == (7, 7.5, 0)


def test_the_entry_that_brings_most_counts(course: Course) -> None:
    """A team is graded by its entry with most points after lateness, and the others are listed with theirs."""
    course.set_rules(LATE + BANDS)
    course.add("a/in-time", 1)
    course.add("a/better-but-late", 0, submitted=MONDAY + timedelta(days=1))
    course.add("b/x", 100)
    grade = _graded(course)["a"]
    assert grade.entry is not None
    assert (grade.entry.submission.entry, grade.points) == ("in-time", 10)
    assert grade.why_entry == "the best of its 2 final entries"
    assert grade.others == "better-but-late: rank 1, band 1, 7.5 points"


def test_teams_without_a_ranked_entry_get_nothing_and_a_reason(course: Course) -> None:
    """A team whose entries are all rejected is in the list with 0 points and every reason; the baselines are not."""
    course.set_rules(BANDS)
    course.add("a/one")
    course.add("baselines/low", 50)
    (course.submissions / "b" / "broken").mkdir(parents=True)
    found = _graded(course)
    assert list(found) == ["a", "b"]
    assert (found["b"].entry, found["b"].points, found["b"].why_points) == (None, 0, "none of its entries is ranked")
    assert found["b"].others.startswith("broken: rejected, ")


def test_without_a_rule_there_are_no_points(course: Course) -> None:
    """Where the rules have no points, scores, bands and late days are listed all the same."""
    course.add("a/one", 20)
    grade = _graded(course)["a"]
    assert (grade.points, grade.why_points) == (None, "the rules have no points")
    (row,) = csv.DictReader(io.StringIO(grades_csv([grade]).decode()))
    assert list(row) == list(COLUMNS)
    assert (row["team"], row["score"], row["band"], row["points"], row["points_lost"]) == ("a", "0.9", "1", "", "")


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1+1", "-2", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n@x"])
def test_no_cell_of_strangers_is_a_formula(course: Course, text: str) -> None:
    """Whatever stands in a name or a reason, a spreadsheet is given a cell of text."""
    board = course.board()
    entry = Rejected(f"{text}/one", (text,))
    hostile = type(board)(**{**board.__dict__, "rejected": (entry,)})
    for row in csv.reader(io.StringIO(grades_csv(grades(hostile)).decode())):
        assert not any(cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in row)
