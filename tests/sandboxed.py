"""Marks tests that need the real sandbox: skipped with the reason where there is none, run in any case in CI."""

from __future__ import annotations

import os

import pytest

from kwsbench.sandbox import unavailable_reason

_REASON = unavailable_reason()
_REQUIRED = os.environ.get("KWSBENCH_REQUIRE_SANDBOX") == "1"

needs_sandbox = pytest.mark.skipif(_REASON is not None and not _REQUIRED, reason=_REASON or "")
"""With `KWSBENCH_REQUIRE_SANDBOX=1` nothing is skipped, so that a missing sandbox fails the tests."""
