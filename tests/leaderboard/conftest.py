"""What the tests of the leaderboard share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.leaderboard.courses import Course


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A competition without entries."""
    return Course(tmp_path / "course")
