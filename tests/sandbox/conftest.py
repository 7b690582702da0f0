"""What the sandbox's tests share: calls of their own tasks, with limits small enough to be reached quickly."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest

from kwsbench.sandbox import Reply, call

TASKS = Path(__file__).parent / "tasks"


class InSandbox(Protocol):
    """Calls `module:name` of the folder `tasks`."""

    def __call__(self, function: str, request: dict[str, Any] | None = None, **options: Any) -> Reply:
        """Returns the answer; `options` are those of `call`."""
        ...


@pytest.fixture
def in_sandbox() -> InSandbox:
    """Calls a function of the folder `tasks` on a model named `model.pt`."""

    def start(function: str, request: dict[str, Any] | None = None, **options: Any) -> Reply:
        return partial(call, what="model.pt", python_path=[TASKS])(function, request or {}, **options)

    return start
