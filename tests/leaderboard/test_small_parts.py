"""Times of receipt, files of the cache, and stamps of folders."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwsbench.budget.limits import FoundLimits
from kwsbench.budget.report import Limits
from kwsbench.errors import InputError
from kwsbench.leaderboard import kept_verifications as kept
from kwsbench.leaderboard.examine import Examined, Ground, examine
from kwsbench.leaderboard.examined_file import decode, encode
from kwsbench.leaderboard.received import read_received
from kwsbench.leaderboard.stamps import Stamps, look
from kwsbench.submission.cached import key_of, save
from kwsbench.submission.judging import judge
from kwsbench.submission.record import Verdict, Verification
from kwsbench.submission.verify import Verifying
from tests.leaderboard.courses import Course


def _received(folder: Path, text: str) -> dict[str, datetime]:
    path = folder / "received.csv"
    path.write_text(text, encoding="utf-8")
    return read_received(path)


def test_times_of_receipt_are_read_with_their_offsets(tmp_path: Path) -> None:
    """The earliest time of an entry counts, and offsets are honoured."""
    found = _received(
        tmp_path,
        "key,received\nowls/one,2026-11-02T13:00:00+01:00\nowls/one,2026-11-02T11:00:00Z\n",
    )
    assert found == {"owls/one": datetime(2026, 11, 2, 11, tzinfo=UTC)}


def test_wrong_times_of_receipt_are_all_named(tmp_path: Path) -> None:
    """Rows without an offset, with a strange key or of another length are told with their lines."""
    with pytest.raises(InputError) as caught:
        _received(tmp_path, "key,received\nowls/one,2026-11-02T13:00:00\n../x,2026-11-02T13:00:00Z\nowls/two\n")
    for part in ("line 2", "says no offset", "line 3", "line 4", "1 fields"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match="line 1"):
        _received(tmp_path, "entry,time\n")


def _examined(course: Course) -> Examined:
    return examine(judge(course.add("owls/one", 7, scores=True), course.house), Ground(course.house))


def test_what_is_kept_of_an_entry_comes_back_whole(course: Course) -> None:
    """Form, problems, predictions and score of an entry are the same after they were written and read."""
    found = _examined(course)
    again = decode(encode(found))
    assert again.submission == found.submission
    assert (again.content_sha256, again.problems, again.refusal, again.tier) == (found.content_sha256, (), "", 1)
    assert found.predicted is not None
    assert (again.predicted == found.predicted).all()
    assert found.score is not None
    assert again.score is not None
    assert repr(again.score.summary) == repr(found.score.summary)
    assert repr(again.score.keywords) == repr(found.score.keywords)
    assert (again.score.confusion == found.score.confusion).all()
    for keyword, points in found.score.det.items():
        assert all(np.array_equal(old, new) for old, new in zip(points, again.score.det[keyword], strict=True))


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_damaged_file_is_never_taken_for_a_whole_one(place: int, change: int) -> None:
    """Whichever byte is changed, the file is refused."""
    data = bytearray(encode(Examined("0" * 64, problems=("nothing",))))
    data[place % len(data)] ^= change
    with pytest.raises(ValueError, match="damaged"):
        decode(bytes(data))


def _verifying(course: Course, tmp_path: Path, **limits: int) -> Verifying:
    return Verifying(replace(course.house, limits=FoundLimits(Limits(**limits))), cache=tmp_path / "verifications")


def _keep(folder: Path, verifying: Verifying) -> None:
    key = key_of(folder, verifying.house, run=True, time_limit_s=verifying.time_limit_s)
    assert key is not None
    assert verifying.cache is not None
    save(verifying.cache, key, Verification(Verdict.VERIFIED, "it was run"))


def test_verifications_are_found_again_without_reading_the_entries(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept of unchanged entries is found at the cost of one; a changed entry, or other limits, find nothing."""
    folders = [course.add(f"{team}/one") for team in ("owls", "cats", "dogs")]
    later = time.time_ns() + 60 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    verifying, memory = _verifying(course, tmp_path, max_params=9), tmp_path / "memory" / "keys.json"
    for folder in folders[:2]:
        _keep(folder, verifying)
    asked = []
    monkeypatch.setattr(
        kept, "key_of", lambda folder, *given, **more: (asked.append(folder), key_of(folder, *given, **more))[1]
    )
    assert set(kept.kept_verifications(folders, verifying, memory)) == {"owls/one", "cats/one"}
    assert len(asked) == 3
    assert set(kept.kept_verifications(folders, verifying, memory)) == {"owls/one", "cats/one"}
    assert len(asked) == 4
    assert kept.kept_verifications(folders, _verifying(course, tmp_path, max_params=8), memory) == {}
    course.add("cats/one", 3)
    assert set(kept.kept_verifications(folders, verifying, memory)) == {"owls/one"}


def test_without_a_cache_nothing_is_kept(course: Course, tmp_path: Path) -> None:
    """Where no entry was ever verified nothing is looked for."""
    assert kept.kept_verifications([course.add("owls/one")], _verifying(course, tmp_path), tmp_path / "keys.json") == {}


def _old_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "entry"
    folder.mkdir()
    (folder / "model.pt").write_bytes(b"12345")
    return folder


def test_a_folder_is_known_by_its_stamps_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unchanged folder needs no reading; a new file, another content or another time of change does."""
    folder = _old_folder(tmp_path)
    later = time.time_ns() + 60 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    stamps = Stamps(tmp_path / "stamps.json")
    stamps.note(folder, "hash", look(folder))
    stamps.save()
    assert Stamps(tmp_path / "stamps.json").content_of(folder) == "hash"
    was = (folder / "model.pt").stat()
    (folder / "model.pt").write_bytes(b"54321")
    os.utime(folder / "model.pt", ns=(was.st_atime_ns, was.st_mtime_ns))
    assert Stamps(tmp_path / "stamps.json").content_of(folder) is None


def test_a_folder_that_was_just_written_is_not_trusted(tmp_path: Path) -> None:
    """Within the resolution of file times a further change could go unseen, so there is no stamp yet."""
    folder = _old_folder(tmp_path)
    assert look(folder) is None
    stamps = Stamps(tmp_path / "stamps.json")
    stamps.note(folder, "hash", look(folder))
    stamps.save()
    assert Stamps(tmp_path / "stamps.json").content_of(folder) is None


@pytest.mark.parametrize("content", ["", "[]", '{"a": 3}', "{"])
def test_a_damaged_list_of_stamps_is_an_empty_one(tmp_path: Path, content: str) -> None:
    """Stamps that cannot be read know nothing."""
    (tmp_path / "stamps.json").write_text(content, encoding="utf-8")
    assert Stamps(tmp_path / "stamps.json").content_of(_old_folder(tmp_path)) is None
