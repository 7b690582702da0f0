"""`--arch FILE.py:CALLABLE`: read without being run, looked through, and built in the sandbox only."""

from __future__ import annotations

from pathlib import Path

import pytest

from kwsbench.errors import InputError, RefusedError
from kwsbench.runtime.definitions import Definition, build, read_definition, suspicions

PLAIN = """
from __future__ import annotations
import math
from collections import OrderedDict
import torch
import torch.nn as nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 4))

    def forward(self, x):
        return F.relu(x @ self.weight) / math.sqrt(4)

Make = Net
"""


def test_a_definition_is_read_and_not_run(tmp_path: Path) -> None:
    """Reading a file that would write another one when run leaves nothing behind."""
    marker = tmp_path / "ran"
    path = tmp_path / "net.py"
    path.write_text(f"open({str(marker)!r}, 'w')\ndef Net(): pass\n")
    assert read_definition(f"{path}:Net").name == "Net"
    assert not marker.exists()


def test_classes_functions_and_names_can_be_called(tmp_path: Path) -> None:
    """A class, a function and an alias at the top of the file are callables of it."""
    path = tmp_path / "net.py"
    path.write_text(PLAIN)
    assert read_definition(f"{path}:Net").source == PLAIN
    assert read_definition(f"{path}:Make").name == "Make"


@pytest.mark.parametrize(
    ("text", "content", "message"),
    [
        ("net.py", PLAIN, "FILE.py:CALLABLE"),
        ("net.txt:Net", PLAIN, "FILE.py:CALLABLE"),
        ("net.py:Net()", PLAIN, "FILE.py:CALLABLE"),
        ("other.py:Net", PLAIN, "no such file"),
        ("net.py:Nett", PLAIN, "defines no Nett (it defines: Net, Make)"),
        ("net.py:Net", "def Net(:\n", "no Python file: .* in line 1"),
        ("net.py:Net", "\0", "no Python file"),
        ("net.py:Net", "(" * 500 + ")" * 500, "no Python file"),
    ],
)
def test_what_is_no_definition_is_said(
    text: str, content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another form, a missing file or name, and what does not parse give one sentence."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(content)
    with pytest.raises(InputError, match=message.replace("(", r"\(").replace(")", r"\)")):
        read_definition(text)


def test_a_definition_is_never_run_outside_the_sandbox(tmp_path: Path) -> None:
    """Building it here is refused, and it does not run."""
    marker = tmp_path / "ran"
    with pytest.raises(RefusedError):
        build(Definition("net.py", f"open({str(marker)!r}, 'w')\ndef Net(): pass\n", "Net"))
    assert not marker.exists()


def test_suspicions_name_the_file_and_the_line() -> None:
    """What must be read is found without searching."""
    assert suspicions(Definition("net.py", "import torch\nimport os\n", "m")) == ["net.py, line 2: imports os"]
