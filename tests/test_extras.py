"""Libraries that are not there, or do not work."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from kwsbench.errors import InputError
from kwsbench.extras import import_extra, import_torch, require_installed


def test_what_is_missing_is_named_with_the_command_that_installs_it() -> None:
    """The sentence has the name that people know, and the extra."""
    with pytest.raises(InputError, match=r"^Nothing is not installed; run `pip install 'kwsbench\[void\]'`$"):
        import_extra("no_such_module", "void", "Nothing")


def test_what_cannot_be_loaded_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is there and fails is not said to be missing."""
    (tmp_path / "broken_library.py").write_text("import no_such_module")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"broken_library cannot be loaded \(No module named 'no_such_module'\)"):
        import_extra("broken_library", "void")


def test_looking_for_a_library_does_not_load_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`require_installed` finds it, and its code does not run."""
    (tmp_path / "loud_library.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    require_installed("loud_library.inner", "void")
    assert "loud_library" not in sys.modules


@pytest.mark.parametrize("enabled", [True, False])
def test_importing_torch_leaves_the_collector_as_it_was(*, enabled: bool) -> None:
    """Whether Python looks for garbage is the caller's choice, before and after."""
    code = f"import gc; gc.{'enable' if enabled else 'disable'}()\n"
    code += "from kwsbench.extras import import_torch\nprint(import_torch().__name__, gc.isenabled())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == f"torch {enabled}\n"


def test_torch_is_the_same_every_time() -> None:
    """The second import is the first, and does not touch the collector."""
    frozen = gc.get_freeze_count()
    assert import_torch() is import_torch()
    assert gc.get_freeze_count() >= frozen
