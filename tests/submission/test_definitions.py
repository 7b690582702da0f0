"""Entries of weights with a Python file that defines their network: tier 3, run in the sandbox only."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kwsbench import sandbox
from kwsbench.budget.limits import FoundLimits
from kwsbench.budget.report import Limits
from kwsbench.errors import InputError
from kwsbench.submission.deciding import verify
from kwsbench.submission.form import read_form
from kwsbench.submission.judging import House, judge
from kwsbench.submission.packing import pack, unpack_entry
from kwsbench.submission.record import Verdict, read_submission
from kwsbench.submission.scaffold import Wish, create, seal
from tests.sandboxed import needs_sandbox
from tests.submission.conftest import Ground, edit, fill_in

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(COEFFICIENTS, LABELS)

    def forward(self, features):
        return self.head(features.mean(dim=2))
"""


@dataclasses.dataclass(frozen=True)
class Parts:
    """Weights, and the file that defines their network."""

    weights: Path
    net: Path

    @property
    def arch(self) -> str:
        """As `--arch` takes it."""
        return f"{self.net}:Net"


@pytest.fixture(scope="module")
def parts(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """A linear network over the means of the coefficients."""
    folder = tmp_path_factory.mktemp("parts")
    manifest = ground.dataset.manifest
    coefficients, labels = manifest.front_end.shape(manifest.clip_samples)[0], len(manifest.labels)
    net = folder / "net.py"
    net.write_text(NET.replace("COEFFICIENTS", str(coefficients)).replace("LABELS", str(labels)), encoding="utf-8")
    torch.manual_seed(0)
    head = torch.nn.Linear(coefficients, labels)
    torch.save({f"head.{name}": value for name, value in head.state_dict().items()}, folder / "weights.pt")
    return Parts(folder / "weights.pt", net)


@pytest.fixture(scope="module")
def made(parts: Parts, ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An entry of these weights, sealed; made once, since the sandbox takes seconds."""
    wish = Wish("owls/linear", parts.weights, tmp_path_factory.mktemp("made"), arch=parts.arch)
    folder = create(wish, ground.house).folder
    fill_in(folder / "report.md")
    seal(folder)
    return folder


@pytest.fixture
def entry(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "owls" / "linear"))


@needs_sandbox
def test_weights_with_a_definition_are_verified(entry: Path, parts: Parts, house: House) -> None:
    """The definition goes into the entry, is hashed, and the model is run and counted with it."""
    form = read_form(entry / "submission.toml")
    assert (form.files.definition, form.network) == ("network.py", "Net")
    assert (entry / "network.py").read_bytes() == parts.net.read_bytes()
    told = verify(entry, house).verification
    assert told.verdict is Verdict.VERIFIED, told.reason
    assert told.tier == 3
    assert told.num_compared == 24
    assert told.report is not None
    assert told.report["params"] == sum(value.numel() for value in torch.load(parts.weights).values())
    assert "torch" in told.versions


@needs_sandbox
def test_limits_hold_for_a_definition(entry: Path, house: House) -> None:
    """A network that has too many parameters is over budget, whoever defines it."""
    limits = FoundLimits(Limits(max_params=3), "the test")
    told = verify(entry, dataclasses.replace(house, limits=limits)).verification
    assert told.verdict is Verdict.OVER_BUDGET


@needs_sandbox
def test_another_definition_is_a_mismatch(entry: Path, house: House) -> None:
    """A network that says something else with the same weights is found, also when it is sealed."""
    edit(entry / "network.py", "self.head(features.mean(dim=2))", "-self.head(features.mean(dim=2))")
    assert "network.py: found another content" in str(judge(entry, house).problems[0])
    seal(entry)
    told = verify(entry, house).verification
    assert told.verdict is Verdict.MISMATCH
    assert told.num_mismatches > 0


@needs_sandbox
def test_a_definition_cannot_touch_what_is_outside(entry: Path, house: House, tmp_path: Path) -> None:
    """What a definition writes lands nowhere, and an entry that reaches out is not certified."""
    outside = tmp_path / "outside"
    edit(entry / "network.py", "import torch\n", f"import pathlib, torch\npathlib.Path({str(outside)!r}).touch()\n")
    seal(entry)
    told = verify(entry, house).verification
    assert told.verdict is not Verdict.VERIFIED
    assert not outside.exists()


@needs_sandbox
def test_without_a_definition_weights_are_predictions_only(entry: Path, house: House) -> None:
    """Weights alone cannot be run, and the verdict says why."""
    form = (entry / "submission.toml").read_text(encoding="utf-8")
    kept = [line for line in form.splitlines() if not line.startswith(("network", "definition"))]
    (entry / "submission.toml").write_text("\n".join(kept), encoding="utf-8")
    (entry / "network.py").unlink()
    told = verify(entry, house).verification
    assert told.verdict is Verdict.PREDICTIONS_ONLY, told.reason
    assert "without their architecture" in told.reason
    assert told.tier == 1


@needs_sandbox
def test_without_a_sandbox_a_definition_is_refused(entry: Path, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's Python runs outside of the sandbox; a later build may have one."""
    monkeypatch.setattr(sandbox, "unavailable_reason", lambda: "bwrap is not installed")
    outcome = verify(entry, house)
    assert outcome.verification.verdict is Verdict.REFUSED
    assert not outcome.lasting


@needs_sandbox
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder: edit(folder / "submission.toml", 'network = "Net"\n', ""), "together"),
        (lambda folder: edit(folder / "submission.toml", 'network = "Net"', 'network = "Net()"'), "field network"),
        (lambda folder: edit(folder / "submission.toml", '"network.py"', '"network.txt"'), "ends in .py"),
        (lambda folder: edit(folder / "submission.toml", '"network.py"', '"model.pt"'), "different names"),
        (lambda folder: (folder / "network.py").unlink(), "no such file"),
        (lambda folder: edit(folder / "submission.toml", '"Net"', '"Other"'), "defines no Other"),
        (lambda folder: edit(folder / "network.py", "class Net", "class Net("), "no Python file"),
        (lambda folder: (folder / "network.py").write_bytes(b"\xff" * 9), "not UTF-8"),
        (lambda folder: (folder / "network.py").write_bytes(b"#" * (2 << 20)), "at most 1,048,576"),
        (lambda folder: _link(folder / "network.py"), "a link"),
    ],
)
def test_a_definition_that_is_none_is_told(
    change: Callable[[Path], object], expected: str, entry: Path, house: House
) -> None:
    """Whatever is wrong with a definition is named before anything runs."""
    change(entry)
    problems = judge(entry, house).problems
    assert any(expected in str(problem) for problem in problems), problems


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".bak"))
    path.symlink_to(path.with_suffix(".bak"))


def test_a_model_with_its_own_architecture_needs_no_definition(
    make_entry: Callable[..., Path], parts: Parts, house: House
) -> None:
    """A definition beside a model that holds its own architecture is a problem: which of them counts?"""

    def add(folder: Path) -> None:
        (folder / "network.py").write_bytes(parts.net.read_bytes())
        form = folder / "submission.toml"
        edit(form, "[files]\n", '[files]\ndefinition = "network.py"\n')
        edit(form, "split = ", 'network = "Net"\nsplit = ')

    (problem,) = judge(make_entry("both", add), house).problems
    assert "holds its own architecture" in str(problem)


def test_a_definition_that_was_added_by_hand_has_to_be_sealed(
    make_entry: Callable[..., Path], parts: Parts, house: House
) -> None:
    """A definition without a hash is told with the remedy, and sealing gives it one."""

    def add(folder: Path) -> None:
        (folder / "model.txt").write_bytes(parts.weights.read_bytes())
        (folder / "network.py").write_bytes(parts.net.read_bytes())
        edit(folder / "submission.toml", "[files]\n", '[files]\ndefinition = "network.py"\n')
        edit(folder / "submission.toml", "split = ", 'network = "Net"\nsplit = ')

    folder = make_entry("by-hand", add, sealed=False)
    found = [str(problem) for problem in judge(folder, house).problems]
    assert any("network.py" in problem and "kwsbench submission seal" in problem for problem in found), found
    seal(folder)
    assert judge(folder, house).problems == ()


@needs_sandbox
def test_a_definition_is_packed_and_unpacked(entry: Path, tmp_path: Path) -> None:
    """The zip holds the definition, and what comes out is what went in."""
    pack(entry, tmp_path / "entry.zip")
    there = unpack_entry(tmp_path / "entry.zip", tmp_path / "elsewhere")
    assert (there / "network.py").read_bytes() == (entry / "network.py").read_bytes()
    assert read_submission(there).arch == f"{there / 'network.py'}:Net"


def test_weights_without_a_definition_make_nothing(ground: Ground, parts: Parts, tmp_path: Path) -> None:
    """Weights alone cannot be predicted with, and the message says what is missing."""
    with pytest.raises(InputError, match=r"--arch net\.py:Net"):
        create(Wish("owls/linear", parts.weights, tmp_path / "submissions"), ground.house)
    assert not (tmp_path / "submissions").exists()


@pytest.mark.parametrize("arch", ["net.py", "missing.py:Net", "net.txt:Net"])
def test_an_architecture_that_is_none_makes_nothing(arch: str, ground: Ground, parts: Parts, tmp_path: Path) -> None:
    """`--arch` that names no callable of a file is an error, and no folder is made."""
    with pytest.raises(InputError, match="arch"):
        create(Wish("owls/linear", parts.weights, tmp_path / "submissions", arch=arch), ground.house)
    assert not (tmp_path / "submissions").exists()
