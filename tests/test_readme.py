"""What the README says can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from kwsbench.baseline import is_torch, load_baseline
from kwsbench.catalogue import baseline_paths, manifest_paths
from kwsbench.cli.app import app
from kwsbench.manifest import read_manifest
from tests.test_conformance_baselines import CONSTANTS_OF_QUANTISERS

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(
    {line for line in re.findall(r"(?:^|`)kwsbench ([^`\n]+)", README, flags=re.MULTILINE) if " " in line}
)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_in_the_readme_parses(line: str) -> None:
    """A command line of the README names commands and options that exist, with values that they take."""
    words = shlex.split(line, comments=True)
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
    if {"--install-completion", "--help"} & set(words):
        return
    command.make_context("kwsbench", words)


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)))
)
def test_every_make_target_is_phony_and_explained(target: str) -> None:
    """A target of the Makefile is no file, and `make help` says what it does."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^\.PHONY:.*\b{target}\b", makefile, re.MULTILINE)
    assert re.search(rf"^{target}:.*## \S", makefile, re.MULTILINE)


@pytest.mark.parametrize("target", re.findall(r"make ([a-z]+)", README))
def test_every_make_command_in_the_readme_exists(target: str) -> None:
    """The README names make targets that there are."""
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_link_to_a_file_leads_somewhere() -> None:
    """Pictures and files that the README links to are there."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert not [target for target in targets if not (REPOSITORY / target).exists()]


def test_the_table_of_benchmarks_is_that_of_the_manifests() -> None:
    """The README names every shipped manifest, and says how many clips it has."""
    for name, path in manifest_paths().items():
        expected = read_manifest(path).expected
        total = sum(sum(counts.values()) for counts in expected.values())
        (line,) = [
            line for line in README.splitlines() if line.startswith("| `") and f"`{name}`" in line.split(" | ")[0]
        ]
        assert f"{total:,}" in line, name


@pytest.mark.parametrize("name", [name for name in baseline_paths() if is_torch(load_baseline(name))])
def test_the_table_of_costs_is_that_of_the_baselines(name: str) -> None:
    """The README names every shipped architecture with the parameters and MACs that its file states."""
    stated: Any = load_baseline(name)
    params = stated.NUM_PARAMETERS + CONSTANTS_OF_QUANTISERS.get(name, 0)
    assert f"| `{name}` | {params:,} | {stated.MACS:,} |" in README
