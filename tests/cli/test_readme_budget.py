"""The budget check as the README shows it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tests.sandboxed import needs_sandbox

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

SECTION = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").partition("## Does it fit?")[2]


@needs_sandbox
def test_the_example_says_what_the_readme_shows(kws: CommandLine) -> None:
    """The network of the README, its command, and every line of what it prints, but for the time that it takes."""
    source, shown = (re.findall(rf"```{kind}\n(.*?)```", SECTION, flags=re.DOTALL)[0] for kind in ("python", "console"))
    (kws.folder / "net.py").write_text(source, encoding="utf-8")
    torch.save({"w": torch.randn(64, 40)}, kws.folder / "weights.pt")
    command, *lines = shown.splitlines()
    printed = kws(*shlex.split(command)[2:])
    assert printed.code == 1
    expected = [line for line in lines if not line.startswith(("latency", "..."))]
    assert len(expected) > 8
    said = [line.rstrip() for line in printed.out.splitlines()]
    assert [line for line in expected if line not in said] == []
