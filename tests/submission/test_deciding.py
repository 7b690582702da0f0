"""What becomes of an entry: each verdict, and why."""

from __future__ import annotations

import dataclasses
import importlib.util
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kwsbench import sandbox
from kwsbench.budget.limits import FoundLimits
from kwsbench.budget.report import Limits
from kwsbench.dataset.clips import load_samples
from kwsbench.features import extract
from kwsbench.submission import deciding
from kwsbench.submission.canaries import UNCHANGED
from kwsbench.submission.deciding import verify
from kwsbench.submission.judging import House, judge
from kwsbench.submission.record import Verdict, Verification, content_sha256
from kwsbench.submission.rerun import Rerun, rerun
from kwsbench.submission.scaffold import Wish, create, seal
from tests.checkpoints import write_checkpoint
from tests.sandboxed import needs_sandbox
from tests.submission.conftest import BASELINES, Ground, fill_in, name_baseline

MakeEntry = Callable[..., Path]


def _verified(folder: Path, house: House, *, lasting: bool = True) -> Verification:
    outcome = verify(folder, house)
    assert outcome.lasting == lasting
    return outcome.verification


def _with_limits(house: House, **limits: int) -> House:
    return dataclasses.replace(house, limits=FoundLimits(Limits(**limits), "the test"))


def test_an_honest_entry_is_verified(entry: Path, house: House) -> None:
    """A model that gives its predictions, keeps the limits and knows the words is verified, and everything is told."""
    told = _verified(entry, _with_limits(house, max_params=10_000))
    assert told.verdict is Verdict.VERIFIED, told.reason
    assert (told.num_compared, told.num_mismatches, told.mismatches) == (24, 0, ())
    assert told.largest_score_difference is not None
    assert told.largest_score_difference < 1e-6
    assert told.tier == 2
    assert told.content_sha256 == content_sha256(entry)
    assert told.accuracy == told.canaries[0].accuracy
    assert told.canaries[0].name == UNCHANGED
    assert len(told.canaries) == 4
    assert told.report is not None
    assert told.report["params"] > 0
    assert told.report["model"] == "model.txt"
    assert {"kwsbench", "python", "lightgbm"} <= set(told.versions)


def _tamper(folder: Path) -> None:
    path = folder / "predictions.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    fields = lines[3].split(",")
    fields[1] = "high" if fields[1] == "low" else "low"
    lines[3] = ",".join(fields)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_tampered_prediction_is_a_mismatch(make_entry: MakeEntry, house: House, ground: Ground) -> None:
    """One label that is not the model's own is found, however well it is sealed, and its clip is named."""
    told = _verified(make_entry("tampered", _tamper), house)
    assert told.verdict is Verdict.MISMATCH
    assert told.num_mismatches == 1
    assert told.mismatches[0] in ground.dataset.split("test")["path"].to_list()
    assert f"1 of 24 clips ({told.mismatches[0]})" in told.reason


@pytest.fixture(scope="module")
def ran(ground: Ground) -> Rerun:
    """What running the good model shows."""
    judged = judge(ground.entry, ground.house)
    assert judged.submission is not None
    assert judged.terms is not None
    assert judged.predictions is not None
    return rerun(judged.submission, judged.terms, judged.predictions, ground.house.baselines)


@pytest.fixture
def run_before(ran: Rerun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the test another run of the same model."""
    monkeypatch.setattr(deciding, "rerun", lambda *_: ran)


@pytest.mark.usefixtures("run_before")
def test_a_model_over_budget_is_told_with_figures(entry: Path, house: House) -> None:
    """Over a limit the verdict says by how much."""
    told = _verified(entry, _with_limits(house, max_params=10))
    assert told.verdict is Verdict.OVER_BUDGET
    assert re.search(r"\d+ parameters, \d+ \(.* %\) over 10", told.reason)


def test_a_mismatch_goes_before_the_budget(
    entry: Path, house: House, ran: Rerun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where predictions are others and the budget is broken, both are told, and the verdict is the graver one."""
    others = dataclasses.replace(ran.comparison, differs=~ran.comparison.differs)
    monkeypatch.setattr(deciding, "rerun", lambda *_: dataclasses.replace(ran, comparison=others, mismatches=("a",)))
    told = _verified(entry, _with_limits(house, max_params=10))
    assert told.verdict is Verdict.MISMATCH
    assert "; besides, " in told.reason
    assert "over 10" in told.reason


def test_what_cannot_be_certified_is_not_verified(entry: Path, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget that nobody could count does not pass as kept."""
    monkeypatch.setattr(deciding, "_count", lambda *_: (None, "nobody knows"))
    told = _verified(entry, house)
    assert told.verdict is Verdict.OVER_BUDGET
    assert "cannot be counted: nobody knows" in told.reason


def test_an_invalid_entry_is_not_run(make_entry: MakeEntry, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """With problems in the entry the model is left alone, and all problems are listed."""
    monkeypatch.setattr(deciding, "rerun", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(deciding, "count", lambda *_: pytest.fail("it ran"))
    told = _verified(make_entry("bad", lambda folder: (folder / "report.md").write_text("# x\n")), house)
    assert told.verdict is Verdict.INVALID
    assert len(told.problems) == 8
    assert told.reason == f"{told.problems[0]} (and 7 more)"


def test_without_running_predictions_are_all_there_is(entry: Path, house: House) -> None:
    """`run=False` scores and says so."""
    told = verify(entry, house, run=False).verification
    assert told.verdict is Verdict.PREDICTIONS_ONLY
    assert told.accuracy is not None


def test_weights_without_an_architecture_cannot_back_predictions(make_entry: MakeEntry, house: House) -> None:
    """A file of weights alone is counted by nobody and run by nobody."""
    import torch

    def weights(folder: Path) -> None:
        torch.save({"a": torch.zeros(3)}, folder / "model.txt")

    told = _verified(make_entry("weights", weights), house)
    assert told.verdict is Verdict.PREDICTIONS_ONLY
    assert "weights without their architecture" in told.reason
    assert told.tier == 1


def test_a_pickle_is_refused_and_not_run(make_entry: MakeEntry, house: House, tmp_path: Path) -> None:
    """A pickled module is refused with the way to save it again, and runs nothing."""
    import torch

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "it ran",)

    def pickled(folder: Path) -> None:
        torch.save(Evil(), folder / "model.txt", pickle_module=pickle)

    told = _verified(make_entry("pickle", pickled), house)
    assert told.verdict is Verdict.REFUSED
    assert not (tmp_path / "it ran").exists()


def test_a_model_that_names_no_known_baseline_backs_nothing(make_entry: MakeEntry, house: House) -> None:
    """Where a model cannot be run its predictions stand alone, with the reason."""
    told = _verified(make_entry("other", lambda folder: name_baseline(folder, "nobody")), house)
    assert told.verdict is Verdict.PREDICTIONS_ONLY
    assert "cannot be run" in told.reason


def test_a_model_that_names_a_file_is_refused(make_entry: MakeEntry, house: House) -> None:
    """A path in the place of a baseline is refused as unsafe."""
    told = _verified(make_entry("path", lambda folder: name_baseline(folder, "../evil.py")), house)
    assert told.verdict is Verdict.REFUSED
    assert "cannot choose which file is run" in told.reason


def test_a_missing_library_is_not_the_entrys_fault(entry: Path, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed is named, and the outcome is not kept."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lightgbm" else find(name))
    told = _verified(entry, house, lasting=False)
    assert told.verdict is Verdict.PREDICTIONS_ONLY
    assert "not installed here: lightgbm" in told.reason


def test_data_that_are_not_here_are_not_the_entrys_fault(entry: Path, ground: Ground) -> None:
    """Without the clips nothing is run, and the outcome is not kept."""
    told = _verified(entry, House(str(ground.dataset.folder / "manifest.toml")), lasting=False)
    assert told.verdict is Verdict.PREDICTIONS_ONLY


def test_a_failing_model_is_refused_with_what_it_said(
    entry: Path, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a library raises on a stranger's data becomes a verdict."""
    monkeypatch.setattr(deciding, "rerun", lambda *_: 1 / 0)
    told = _verified(entry, house)
    assert told.verdict is Verdict.REFUSED
    assert "ZeroDivisionError" in told.reason


def test_an_entry_that_changes_meanwhile_is_invalid(entry: Path, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit while the model runs is found, and what came out is neither told nor kept."""
    run = deciding.rerun

    def edited(*arguments: object) -> object:
        with (entry / "model.txt").open("a") as file:
            file.write("\n")
        return run(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(deciding, "rerun", edited)
    told = _verified(entry, house, lasting=False)
    assert told.verdict is Verdict.INVALID
    assert "changed while it was verified" in told.reason


def test_a_network_of_the_kit_runs_in_process(ground: Ground, tmp_path: Path) -> None:
    """A checkpoint of a baseline is tier 1, and its untrained weights are as honest as any."""
    model = write_checkpoint(tmp_path / "model.pt", "conv1d_sber", ground.dataset.manifest)
    house = dataclasses.replace(ground.house, baselines=None)
    told = _verified(_entry_of(model, house, tmp_path), house)
    assert told.verdict is Verdict.VERIFIED, told.reason
    assert told.tier == 1


def _entry_of(model: Path, house: House, root: Path) -> Path:
    made = create(Wish("owls/made", model, root), house)
    fill_in(made.folder / "report.md")
    seal(made.folder)
    return made.folder


def _table_of_answers(ground: Ground, path: Path) -> Path:
    """Writes a TorchScript model that knows the test clips by a checksum of their features, and nothing else."""
    import torch

    manifest, rows = ground.dataset.manifest, ground.dataset.split("test")
    features = extract(load_samples(rows, ground.dataset), manifest.front_end, manifest.sample_rate_hz)
    answers = np.array([manifest.labels.index(label) for label in rows["label"]])

    class Table(torch.nn.Module):
        def __init__(self, keys: NDArray[np.float64], answers: NDArray[np.int64]) -> None:
            super().__init__()
            self.register_buffer("keys", torch.from_numpy(keys))
            self.register_buffer("answers", torch.from_numpy(answers))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            known = (x.double().sum([1, 2])[:, None] - self.keys).abs() < 1e-3
            hits = torch.zeros(x.shape[0], 4, dtype=torch.double)
            for label in range(4):
                hits[:, label] = (known & (self.answers == label)).any(dim=1).double()
            return (8 * hits).float()

    table = Table(features.astype(np.float64).sum(axis=(1, 2)), answers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        torch.jit.script(table).save(str(path))
    return path


@needs_sandbox
def test_a_table_of_answers_is_caught(ground: Ground, tmp_path: Path) -> None:
    """A model that looks answers up is right on every clip, gives its own predictions, and is no match for canaries."""
    folder = _entry_of(_table_of_answers(ground, tmp_path / "model.pt"), ground.house, tmp_path)
    told = _verified(folder, ground.house)
    assert told.accuracy == 1.0
    assert told.num_mismatches == 0
    assert told.verdict is Verdict.MISMATCH
    assert "knows these clips, not the words: 100.0 % of the clips are right as they are" in told.reason
    assert told.tier == 3
    assert all((one.accuracy or 0) <= 0.5 for one in told.canaries[1:])


def test_tier_three_needs_the_sandbox(
    make_entry: MakeEntry, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a sandbox TorchScript is refused, never run outside of it, and the outcome is not kept."""
    monkeypatch.setattr(sandbox, "unavailable_reason", lambda: "bwrap is not installed")
    monkeypatch.setattr(deciding, "rerun", lambda *_: pytest.fail("it ran"))
    table = _table_of_answers(ground, tmp_path / "table.pt").read_bytes()
    told = _verified(
        make_entry("script", lambda folder: (folder / "model.txt").write_bytes(table)), ground.house, lasting=False
    )
    assert told.verdict is Verdict.REFUSED
    assert "in the sandbox only, and bwrap is not installed" in told.reason


def test_baselines_of_the_tests_are_where_they_are() -> None:
    """The folder that models of these tests name their baseline in is there."""
    assert (BASELINES / "tiny.py").is_file()
