"""Reports as records."""

from __future__ import annotations

import pytest

from kwsbench.budget.report import Count
from kwsbench.errors import RefusedError


def test_what_comes_out_of_the_sandbox_is_read_as_it_is() -> None:
    """A record that was written inside is the same outside."""
    count = Count(params=3, macs=None)
    assert Count.from_sandbox(count.model_dump(mode="json"), "model.pt") == count


@pytest.mark.parametrize("answer", [{}, {"params": "many", "macs": 1}, {"params": 1, "macs": 1, "more": 2}])
def test_another_answer_is_refused(answer: dict[str, object]) -> None:
    """A model that has a hand in the answer gets one message, whatever it makes of it."""
    with pytest.raises(RefusedError, match=r"^refused model\.pt: what the sandbox answered about it is no count$"):
        Count.from_sandbox(answer, "model.pt")
