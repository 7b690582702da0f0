"""From folders to a board: what is ranked, what is not, what is rejected, and that nothing stops the others."""

from __future__ import annotations

import dataclasses
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kwsbench.errors import InputError
from kwsbench.leaderboard import examine_many
from kwsbench.leaderboard.board import Board
from kwsbench.leaderboard.coarse import step_for
from kwsbench.leaderboard.examine import Ground
from kwsbench.leaderboard.hidden import private_clips, truth_of
from kwsbench.leaderboard.rule_tables import hash_of_key
from kwsbench.predictions import Predictions
from kwsbench.score.evaluate import evaluate
from kwsbench.submission.record import Verdict, Verification, content_sha256
from tests.leaderboard.courses import MONDAY, Course, wrong_on

KEY = "k" * 40
PRIVATE = f'[private]\nshare = 0.5\nkey_sha256 = "{hash_of_key(KEY)}"'


def _ranks(board: Board) -> list[tuple[str, int | None]]:
    return [(entry.key, entry.rank) for entry in board.entries]


def _reason(board: Board, key: str) -> str:
    return "; ".join({one.key: one.reasons for one in board.rejected}[key])


def _as_data(board: Board) -> str:
    """Everything about a board as text, but for its arrays, which are compared as lists."""
    entries = [
        (repr(entry.submission), repr(entry.main), entry.rank, entry.band, _numbers(entry)) for entry in board.entries
    ]
    return repr((entries, board.rejected, board.labels, board.num_clips, board.updated, board.provenance))


def _numbers(entry: Any) -> tuple[Any, ...]:
    score = entry.score
    det = {name: [column.tolist() for column in points] for name, points in score.det.items()}
    return score.confusion.tolist(), det, repr(score.summary), repr(score.keywords), entry.worst_speakers


def test_a_board_has_scores_ranks_and_figures(course: Course) -> None:
    """Entries stand in the order of their accuracy, with the score that `kwsbench score` gives."""
    course.add("owls/good", 2)
    course.add("cats/bad", 90, scores=True)
    course.add("dogs/fair", 2)
    board = course.board()
    assert _ranks(board) == [("dogs/fair", 1), ("owls/good", 1), ("cats/bad", 3)]
    assert [entry.band for entry in board.entries] == [1, 1, 2]
    expected = evaluate(course.truth, Predictions(wrong_on(course.truth, range(2)), None)).summary
    assert board.entries[0].score.summary == expected
    main = board.entries[0].main
    assert (main.value, main.low, main.high) == (0.99, expected[0].ci_low, expected[0].ci_high)
    assert set(board.entries[2].score.det) == {"yes", "no"}
    assert (board.num_clips, board.hidden_clips, board.labels, board.updated) == (200, 0, course.truth.labels, MONDAY)
    assert board.provenance["manifest"] == "tiny"


def test_the_worst_speakers_are_named(course: Course) -> None:
    """Speakers come with their clips and errors, the largest share of errors first."""
    course.add("owls/one", wrong_on(course.truth, np.flatnonzero((course.truth.speakers == "00000007").to_numpy())[:2]))
    (worst,) = course.board().entries[0].worst_speakers
    num_clips = int((course.truth.speakers == "00000007").sum())
    assert (worst.speaker, worst.num_clips, worst.num_errors) == ("00000007", num_clips, 2)


def test_what_was_kept_gives_the_same_board(course: Course, tmp_path: Path) -> None:
    """A board from the cache, from several processes, or made afresh is the same to the last digit."""
    for number in range(14):
        course.add(f"team-{number}/one", number, scores=number % 2 == 0)
    (course.submissions / "team-0" / "broken").mkdir()
    cache = tmp_path / "cache"
    first = _as_data(course.board(cache=cache, jobs=2))
    assert first == _as_data(course.board(cache=cache)) == _as_data(course.board())


def test_only_what_is_new_is_read_again(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cache an entry is judged once, and again when it changes."""
    judged = []
    judge = examine_many.judge
    monkeypatch.setattr(examine_many, "judge", lambda *given: (judged.append(given[0].name), judge(*given))[1])
    cache = tmp_path / "cache"
    course.add("owls/one", 5)
    course.add("owls/two", 5)
    (course.submissions / "owls" / "broken").mkdir()
    course.board(cache=cache)
    course.board(cache=cache)
    assert judged == ["broken", "one", "two"]
    course.add("owls/one", 6)
    assert course.board(cache=cache).entries[0].key == "owls/two"
    assert judged == ["broken", "one", "two", "one"]


def test_a_damaged_cache_is_made_again(course: Course, tmp_path: Path) -> None:
    """Files of the cache that were cut short or overwritten are not believed."""
    course.add("owls/one", 5)
    cache = tmp_path / "cache"
    before = _as_data(course.board(cache=cache))
    for number, file in enumerate(sorted(cache.iterdir())):
        file.write_bytes(file.read_bytes()[: 40 * number])
    assert _as_data(course.board(cache=cache)) == before


def test_a_change_that_keeps_the_time_of_writing_is_seen(course: Course, tmp_path: Path) -> None:
    """An entry whose files were replaced by others of equal size and time is read again."""
    folder = course.add("owls/one", 5)
    _make_old(folder)
    cache = tmp_path / "cache"
    assert course.board(cache=cache).entries[0].main.value == 0.975
    course.add("owls/one", wrong_on(course.truth, [40]))
    _make_old(folder)
    assert course.board(cache=cache).entries[0].main.value == 0.995


def _make_old(folder: Path) -> None:
    for file in folder.iterdir():
        os.utime(file, (1_000_000_000, 1_000_000_000))


def test_every_broken_folder_is_listed_and_none_stops_the_others(course: Course) -> None:
    """Missing files, wrong rows, changed files, links, hostile names: all rejected with reasons, and the rest ranked."""
    course.add("owls/good", 1)
    for name in ("no-model", "rows", "changed", "nul", "big-toml"):
        course.add(f"owls/{name}")
    owls = course.submissions / "owls"
    (owls / "no-model" / "model.safetensors").unlink()
    rows = (owls / "rows" / "predictions.csv").read_text(encoding="utf-8").splitlines()
    (owls / "rows" / "predictions.csv").write_text("\n".join(rows[:50]), encoding="utf-8")
    course.seal(owls / "rows")
    (owls / "changed" / "report.md").write_text("another one", encoding="utf-8")
    (owls / "nul" / "predictions.csv").write_bytes(b"path,label\n\0\0\0,yes\n")
    course.seal(owls / "nul")
    (owls / "big-toml" / "submission.toml").write_bytes(b"x = [" * 100_000)
    (owls / "empty").mkdir()
    (owls / "UPPER").mkdir()
    (owls / "a\x1b[2Jb").mkdir()
    (owls / "link").symlink_to(owls / "good")
    (course.submissions / "not-a-folder").write_text("", encoding="utf-8")
    board = course.board()
    assert _ranks(board) == [("owls/good", 1)]
    rejected = {one.key for one in board.rejected}
    names = {"no-model", "rows", "changed", "nul", "big-toml", "empty", "UPPER", "a?[2Jb", "link"}
    assert rejected == {f"owls/{name}" for name in names}
    assert all(one.reasons and all(reason.strip() for reason in one.reasons) for one in board.rejected)
    assert "no such file" in _reason(board, "owls/no-model")
    assert "submissions/owls/no-model/model.safetensors" in _reason(board, "owls/no-model")
    assert not any(str(course.root) in reason for one in board.rejected for reason in one.reasons)
    assert "a link" in _reason(board, "owls/link")
    assert all(text.isprintable() for one in board.rejected for text in (one.key, *one.reasons))


def test_a_form_that_names_another_team_is_rejected(course: Course) -> None:
    """Nobody hands in under the name of another team: the form must say what the folders are called."""
    folder = course.add("owls/one")
    shutil.copytree(folder, course.submissions / "cats" / "one")
    board = course.board()
    assert [entry.key for entry in board.entries] == ["owls/one"]
    assert "what the folder is called, 'cats'" in _reason(board, "cats/one")


def test_a_folder_whose_name_differs_in_case_takes_no_place_away(course: Course) -> None:
    """Of two names that differ in case the one in lower case is ranked; nobody can knock it out with the other."""
    folder = course.add("owls/one")
    shutil.copytree(folder, folder.with_name("ONE"))
    board = course.board()
    assert _ranks(board) == [("owls/one", 1)]
    assert "owls/ONE" in {one.key for one in board.rejected}


def test_an_entry_that_is_edited_during_the_build_is_rejected(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change between the first look and the last is seen, nothing of it is kept, and the next build has the entry."""
    folder = course.add("owls/one")
    course.add("cats/one", 9)
    judge = examine_many.judge

    def judged_while_edited(entry: Path, *given: Any) -> Any:
        found = judge(entry, *given)
        if entry == folder:
            (folder / "report.md").write_text("# Edited", encoding="utf-8")
        return found

    monkeypatch.setattr(examine_many, "judge", judged_while_edited)
    board = course.board(cache=tmp_path / "cache")
    assert _ranks(board) == [("cats/one", 1)]
    assert "a change while it was read" in _reason(board, "owls/one")
    monkeypatch.setattr(examine_many, "judge", judge)
    course.add("owls/one")
    assert _ranks(course.board(cache=tmp_path / "cache")) == [("owls/one", 1), ("cats/one", 2)]


def test_an_entry_that_breaks_the_code_does_not_break_the_board(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even an error that nobody thought of rejects one entry and no other."""
    folder = course.add("owls/one")
    course.add("cats/one")
    judge = examine_many.judge

    def broken(entry: Path, *given: Any) -> Any:
        if entry == folder:
            raise RecursionError
        return judge(entry, *given)

    monkeypatch.setattr(examine_many, "judge", broken)
    board = course.board()
    assert _ranks(board) == [("cats/one", 1)]
    assert "could not be read (RecursionError)" in _reason(board, "owls/one")


class _Deadly(type(Path())):  # type: ignore[misc] -- the class of paths on this system
    """A path that ends the process that receives it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_an_entry_that_ends_its_process_does_not_end_the_others(course: Course, tmp_path: Path) -> None:
    """When a process dies, the entry that it died of is rejected, and all others are examined."""
    folders: list[Path] = [course.add(f"team-{number:02}/one", number) for number in range(13)]
    folders[4] = _Deadly(folders[4])
    found = examine_many.examine_many(folders, Ground(course.house), tmp_path / "cache", jobs=2)
    assert len(found) == 13
    assert [folder.parent.name for folder, one in found.items() if one.score is None] == ["team-04"]
    assert "the process that read it ended" in found[folders[4]].problems[0]


def _verification(folder: Path, verdict: Verdict, **fields: Any) -> Verification:
    report = {"params": 9, "macs": 80, "weight_bytes": 36}
    return Verification(verdict, "because", content_sha256=content_sha256(folder), report=report, **fields)


def test_verdicts_that_speak_against_an_entry_take_its_rank(course: Course) -> None:
    """A mismatch, a broken limit, a refusal and an invalid entry come last and have no rank, however good they are."""
    verdicts = dict(zip("abcdef", Verdict, strict=True))
    kept = {f"{name}/one": _verification(course.add(f"{name}/one", 5), verdict) for name, verdict in verdicts.items()}
    board = course.board(verifications=kept)
    assert _ranks(board)[:2] == [("a/one", 1), ("b/one", 1)]
    assert [entry.verification.verdict for entry in board.entries] == list(Verdict)
    assert all(entry.unranked_because and entry.band is None for entry in board.entries[2:])
    assert (board.entries[0].num_parameters, board.entries[0].macs, board.entries[0].weight_bytes) == (9, 80, 36)


def test_a_verification_of_other_files_does_not_count(course: Course) -> None:
    """A verdict belongs to the files that it was made of; when they change, nothing backs the entry."""
    folder = course.add("owls/one", 5)
    kept = {"owls/one": _verification(folder, Verdict.VERIFIED)}
    assert course.board(verifications=kept).entries[0].verification.verdict is Verdict.VERIFIED
    course.add("owls/one", 4)
    entry = course.board(verifications=kept).entries[0]
    assert entry.verification.verdict is Verdict.PREDICTIONS_ONLY
    assert "its files have changed" in entry.verification.reason
    assert entry.num_parameters is None


def test_the_time_of_the_host_counts_where_it_is_known(course: Course) -> None:
    """An entry that was received after the deadline is late, whatever its form says."""
    course.set_rules("deadline = 2026-11-02T13:00:00Z\n[late]\ndays = 2")
    course.add("owls/one", submitted=MONDAY)
    assert course.board().entries[0].late_days == 0
    assert course.board(received={"owls/one": MONDAY + timedelta(days=1)}).entries[0].late_days == 1
    board = course.board(received={"owls/one": MONDAY + timedelta(days=9)})
    assert "after the deadline" in _reason(board, "owls/one")


def test_the_host_s_clock_is_only_asked_where_it_is_given(course: Course) -> None:
    """An entry from the future is rejected by a host who says what time it is."""
    course.add("owls/one", submitted=MONDAY + timedelta(days=1))
    assert len(course.board().entries) == 1
    assert "in the future" in _reason(course.board(now=MONDAY), "owls/one")


def test_only_final_entries_are_ranked(course: Course) -> None:
    """With one final entry per team its best is ranked and the others say why they are not."""
    course.set_rules("[entries]\nfinal_per_team = 1")
    course.add("owls/worse", 9)
    course.add("owls/best", 1)
    course.add("baselines/a", 20)
    course.add("baselines/b", 30)
    board = course.board()
    assert _ranks(board) == [("owls/best", 1), ("baselines/a", 2), ("baselines/b", 3), ("owls/worse", None)]
    assert (
        board.entries[3].unranked_because
        == "it is not a final entry of owls: one of each team counts, with the best score"
    )
    assert [entry.is_baseline for entry in board.entries] == [False, True, True, False]


def test_while_the_key_is_hidden_only_the_public_part_is_shown(course: Course) -> None:
    """Figures are of the public clips, no finer than their standard error, and nothing tells who is private."""
    course.set_rules(PRIVATE)
    hidden = private_clips(course.truth, _private(course), KEY)
    wrong = [*np.flatnonzero(hidden)[:30], *np.flatnonzero(~hidden)[:7]]
    course.add("owls/one", wrong_on(course.truth, wrong), scores=True)
    board = course.board(key=KEY)
    (entry,) = board.entries
    public = evaluate(
        truth_of(course.truth, ~hidden), Predictions(wrong_on(course.truth, wrong)[~hidden], None)
    ).summary[0]
    step = step_for((public.ci_high - public.ci_low) / 3.92)
    assert (board.num_clips, board.hidden_clips) == (int((~hidden).sum()), int(hidden.sum()))
    assert entry.main.value == pytest.approx(round(public.value / step) * step)
    assert entry.main.value != public.value
    assert entry.score.summary[0].value == entry.main.value
    assert entry.worst_speakers == ()
    assert entry.score.confusion.sum() <= board.num_clips + 60
    exact = course.board(key=KEY, private=True).entries[0]
    assert exact.main.value == pytest.approx(1 - 30 / hidden.sum())


def _private(course: Course) -> Any:
    private = course.rules.private
    assert private is not None
    return private


def test_with_the_key_revealed_all_clips_are_shown(course: Course) -> None:
    """Once the key is in the rules the board is on all clips, exact, and the best private entries are final."""
    course.set_rules(f'{PRIVATE}\nkey = "{KEY}"\n[entries]\nfinal_per_team = 1')
    hidden = private_clips(course.truth, _private(course))
    course.add("owls/public", wrong_on(course.truth, np.flatnonzero(hidden)[:20]))
    course.add("owls/private", wrong_on(course.truth, np.flatnonzero(~hidden)[:25]))
    board = course.board()
    assert _ranks(board) == [("owls/private", 1), ("owls/public", None)]
    assert board.entries[0].main.value == pytest.approx(1 - 25 / 200)
    assert (board.num_clips, board.hidden_clips) == (200, 0)


def test_the_choice_by_private_score_is_not_shown_early(course: Course) -> None:
    """While the key is hidden all entries are ranked in public, and the private board of the host has the final ones."""
    course.set_rules(f"{PRIVATE}\n[entries]\nfinal_per_team = 1")
    course.add("owls/one", 30)
    course.add("owls/two", 10)
    assert {entry.rank for entry in course.board(key=KEY).entries} == {1, 2}
    assert [entry.rank for entry in course.board(key=KEY, private=True).entries] == [1, None]


def test_without_key_truth_or_manifest_there_is_no_board(course: Course) -> None:
    """What is the host's fault is one error with its remedy."""
    course.add("owls/one")
    course.set_rules(PRIVATE)
    with pytest.raises(InputError, match="not revealed"):
        course.board()
    with pytest.raises(InputError, match="not the one"):
        course.board(key="x" * 40)
    course.set_rules("")
    with pytest.raises(InputError, match="name no manifest"):
        course.board(house=dataclasses.replace(course.house, manifest=None))
    with pytest.raises(InputError, match="--data"):
        course.board(house=dataclasses.replace(course.house, truth=None, data=None))
    shutil.rmtree(course.submissions)
    with pytest.raises(InputError, match="there are no submissions"):
        course.board()


def test_a_metric_that_is_not_defined_gives_no_rank(tmp_path: Path) -> None:
    """Where no clip is background there is no false accept rate, and nobody is ranked by it."""
    from tests.leaderboard.courses import truth_of as make_truth

    truth = make_truth(40)
    truth = dataclasses.replace(truth, truth=truth.truth % 2)
    course = Course(tmp_path / "course", '[ranking]\nmetric = "far"', truth)
    course.add("owls/one", truth.truth)
    (entry,) = course.board().entries
    assert (entry.rank, entry.unranked_because) == (None, "far is not defined for these clips")
