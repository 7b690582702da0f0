"""What a rebuild changes, in words."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from kwsbench.errors import InputError
from kwsbench.leaderboard.diff import RECORD, Snapshot, Standing, changes, read_snapshot, snapshot
from kwsbench.leaderboard.site.downloads import board_record, json_bytes
from tests.leaderboard.courses import Course


def _standing(rank: int | None, value: float = 0.9, band: int | None = 1, **more: object) -> Standing:
    fields = {"verdict": "verified", "unranked_because": "" if rank else "mismatch: 3 clips", "late_days": 0, **more}
    return Standing(rank, band if rank else None, value, **fields)  # type: ignore[arg-type]


def _board(rejected: dict[str, str] | None = None, **entries: Standing) -> Snapshot:
    named = {f"owls/{name}": standing for name, standing in entries.items()}
    return Snapshot("accuracy", named, {f"owls/{name}": reason for name, reason in (rejected or {}).items()})


def test_what_a_site_says_of_its_board_is_what_the_board_is(course: Course, tmp_path: Path) -> None:
    """The record that a site keeps has all that a comparison needs, and an unchanged board has no changes."""
    course.set_rules("[entries]\nfinal_per_team = 1")
    course.add("owls/one", 3)
    course.add("owls/two", 50)
    course.add("cats/one", 7)
    (course.submissions / "cats" / "broken").mkdir()
    board = course.board()
    (tmp_path / RECORD).write_bytes(json_bytes(board_record(board)))
    read, now = read_snapshot(tmp_path), snapshot(board)
    assert list(read.entries) == list(now.entries)
    assert read.metric == "accuracy"
    for key, standing in now.entries.items():
        assert math.isclose(read.entries[key].value, standing.value, abs_tol=1e-9)
    assert read.rejected.keys() == now.rejected.keys() == {"cats/broken"}
    assert changes(read, now) == []
    course.add("dogs/one", 1)
    assert changes(read, snapshot(course.board())) == [
        "dogs/one is new, and has rank 1 in band 1 with 0.9950, predictions only",
        "owls/one moves from rank 1 to rank 2",
        "cats/one moves from rank 2 to rank 3",
    ]


@pytest.mark.parametrize(
    ("old", "new", "sentences"),
    [
        (_board(), _board(a=_standing(1)), ["owls/a is new, and has rank 1 in band 1 with 0.9000, verified"]),
        (_board(), _board(a=_standing(None)), ["owls/a is new, and is not ranked (mismatch: 3 clips)"]),
        (_board(), _board({"a": "no model"}), ["owls/a is new, and rejected: no model"]),
        (_board(a=_standing(1)), _board({"a": "no model"}), ["owls/a is rejected now: no model"]),
        (
            _board({"a": "no model"}),
            _board(a=_standing(1)),
            ["owls/a was rejected, and now it has rank 1 in band 1 with 0.9000, verified"],
        ),
        (_board(a=_standing(2)), _board(), ["owls/a is gone; until now it has rank 2 in band 1 with 0.9000, verified"]),
        (_board({"a": "no model"}), _board(), ["owls/a is gone; until now it is rejected"]),
        (_board({"a": "no model"}), _board({"a": "no report"}), []),
        (_board(a=_standing(1)), _board(a=_standing(1, 0.95)), ["owls/a has 0.9500, and had 0.9000"]),
        (_board(a=_standing(1)), _board(a=_standing(1, band=2)), ["owls/a goes from band 1 to band 2"]),
        (_board(a=_standing(1)), _board(a=_standing(3)), ["owls/a moves from rank 1 to rank 3"]),
        (
            _board(a=_standing(1)),
            _board(a=_standing(None, verdict="mismatch")),
            ["owls/a was verified, and is mismatch (mismatch: 3 clips)"],
        ),
        (
            _board(a=_standing(1)),
            _board(a=_standing(None, unranked_because="it is not final")),
            ["owls/a is no longer ranked: it is not final"],
        ),
        (
            _board(a=_standing(None, unranked_because="it is not final")),
            _board(a=_standing(2)),
            ["owls/a is ranked now: it has rank 2 in band 1 with 0.9000, verified"],
        ),
        (
            _board(a=_standing(1)),
            _board(a=_standing(1, late_days=2)),
            ["owls/a counts as 2 days late, and no longer as 0"],
        ),
        (_board(a=_standing(None, math.nan)), _board(a=_standing(None, math.nan)), []),
    ],
)
def test_every_change_has_its_sentence(old: Snapshot, new: Snapshot, sentences: list[str]) -> None:
    """New, gone, rejected, moved, re-judged, re-scored: each is one sentence, and nothing else is said."""
    assert changes(old, new) == sentences


def test_many_that_make_room_are_counted() -> None:
    """When one entry goes in front of hundreds, they are not named one by one."""
    old = {f"e{number:03}": _standing(number) for number in range(1, 401)}
    new = {"first": _standing(1)} | {name: _standing((standing.rank or 0) + 1) for name, standing in old.items()}
    found = changes(_board(**old), _board(**new))
    assert found[1:] == ["400 entries move down by 1 (from owls/e001 to owls/e400)"]


def test_names_of_strangers_steer_no_terminal() -> None:
    """Control characters in a reason are not printed as such."""
    (sentence,) = changes(_board(), _board({"a": "\x1b[2J\u202e"}))
    assert sentence.isprintable()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"entries": 3, "rejected": []}', '{"entries": [{}], "rejected": []}']
)
def test_what_is_no_record_is_said_to_be_none(tmp_path: Path, content: str) -> None:
    """A damaged record, and a folder without one, are errors with a remedy."""
    with pytest.raises(InputError, match="build the site first"):
        read_snapshot(tmp_path)
    (tmp_path / RECORD).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="no record of a leaderboard"):
        read_snapshot(tmp_path)


def test_another_metric_is_said_to_be_one() -> None:
    """When the rules rank by another figure, that is said first."""
    old = _board(a=_standing(1))
    new = Snapshot("macro_frr", old.entries, {})
    assert changes(old, new) == ["the competition ranks by macro_frr and no longer by accuracy"]
    assert json.dumps(changes(old, new))
