"""Where data sets are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from kwsbench.dataset.places import Places, places, prepared_folders
from tests.conftest import Tiny


def test_the_data_folder_is_said_or_in_the_environment_or_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user says comes first, then the environment, then `data`; an empty variable counts as none."""
    monkeypatch.setenv("KWSBENCH_DATA", "/from/environment")
    assert places(Path("/said")) == Places(Path("/said"))
    assert places(None) == Places(Path("/from/environment"))
    monkeypatch.setenv("KWSBENCH_DATA", "")
    assert places(None) == Places(Path("data"))


def test_prepared_folders_are_those_with_a_state(tiny: Tiny) -> None:
    """Folders with audio, archives or half a result are no prepared data sets."""
    tiny.prepare()
    for name in ("_audio", "_archives", "half"):
        (tiny.places.root / name).mkdir()
    assert prepared_folders(tiny.places.root) == [tiny.places.root / "tiny"]
    assert prepared_folders(tiny.places.root / "nowhere") == []


@pytest.mark.parametrize("name", ["half", "../tiny", "/etc", ".", "", "tiny/../tiny", "no"])
def test_only_a_prepared_data_set_is_found_by_name(name: str, tiny: Tiny) -> None:
    """A name that may come from a stranger is never a path, and a folder without a state is none."""
    tiny.prepare()
    (tiny.places.root / "half").mkdir()
    assert tiny.places.is_prepared("tiny")
    assert not tiny.places.is_prepared(name)
