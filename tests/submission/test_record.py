"""An entry as a record, and a verification as JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwsbench.errors import InputError
from kwsbench.submission.record import Canary, Verdict, Verification, read_submission
from tests.submission.conftest import edit

shares = st.none() | st.floats(0, 1)
counts = st.integers(0, 10_000)


def test_an_entry_is_read_as_it_lies_there(entry: Path) -> None:
    """Names, files and times are those of the folder and its form."""
    submission = read_submission(entry)
    assert submission.key == "blue-owls/tones"
    assert submission.model == entry / "model.txt"
    assert submission.members == ("Ada",)
    assert submission.submitted.utcoffset() is not None


def test_a_form_that_names_another_team_is_refused(entry: Path) -> None:
    """Nobody hands in for others: the form must say what the folders are called."""
    edit(entry / "submission.toml", 'team = "blue-owls"', 'team = "red-foxes"')
    with pytest.raises(InputError, match="what the folder is called, 'blue-owls'"):
        read_submission(entry)


def test_a_link_is_no_entry(entry: Path) -> None:
    """Two teams do not share one folder: a link to an entry, or to a team, is refused."""
    other = entry.parent.parent / "red-foxes"
    other.symlink_to(entry.parent)
    with pytest.raises(InputError) as caught:
        read_submission(other / "tones")
    assert "found a link" in str(caught.value)
    assert "what the folder is called, 'red-foxes'" in str(caught.value)


def test_of_names_that_differ_in_case_the_one_in_lower_case_counts(entry: Path) -> None:
    """A folder beside an entry whose name differs in case is no entry, and takes nothing from the one that is."""
    twin = entry.parent / "Tones"
    shutil.copytree(entry, twin)
    assert read_submission(entry).entry == "tones"
    with pytest.raises(InputError, match="Tones"):
        read_submission(twin)


@given(
    st.sampled_from(Verdict),
    st.text(),
    st.none() | st.integers(1, 3),
    st.lists(st.text(), max_size=20),
    st.lists(st.builds(Canary, st.text(), counts, counts, shares), max_size=4),
    shares,
    st.none() | st.dictionaries(st.text(), st.integers()),
)
def test_a_verification_goes_through_json(  # noqa: PLR0913, PLR0917
    verdict: Verdict,
    reason: str,
    tier: int | None,
    mismatches: list[str],
    canaries: list[Canary],
    accuracy: float | None,
    report: dict[str, int] | None,
) -> None:
    """What is written as JSON comes back equal."""
    record = Verification(
        verdict,
        reason,
        tier,
        mismatches=tuple(mismatches),
        canaries=tuple(canaries),
        accuracy=accuracy,
        report=report,
        versions={"kwsbench": "1"},
        problems=("one", "two"),
    )
    assert Verification.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("canaries"),
        lambda record: record.update(verdict="excellent"),
        lambda record: record.update(more=1),
        lambda record: record.update(canaries=[{"name": "x"}]),
    ],
    ids=["missing", "verdict", "unknown", "canary"],
)
def test_what_is_no_verification_is_a_value_error(change: Callable[[dict[str, object]], object]) -> None:
    """A record with something missing, unknown or odd is not taken."""
    record = Verification(Verdict.VERIFIED, "fine").to_json()
    change(record)
    with pytest.raises(ValueError, match=r"no record|excellent"):
        Verification.from_json(record)
