"""The state of a run on disk: exact, whole, safe to read, and of one run only."""

from __future__ import annotations

import functools
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from kwsbench.errors import InputError, RefusedError
from kwsbench.train.history import EpochRecord
from kwsbench.train.state import RunState, copied, load_state, remembered_by, remind, save_state

PRINT = {"baseline": "some", "--seed": 1, "--recipe step_epochs": [0.5, 0.75]}


def _trained(kind: Any = torch.optim.AdamW, width: int = 3) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(1)
    network = torch.nn.Linear(width, 2)
    optimiser = kind(network.parameters(), lr=0.1)
    network(torch.ones(4, width)).square().sum().backward()
    optimiser.step()
    return network, optimiser


def _state(kind: Any = torch.optim.AdamW) -> RunState:
    network, optimiser = _trained(kind)
    weights = copied(network.state_dict())
    return RunState((EpochRecord(1, 0.1, 1.0, 0.5, 1.0, 0.5, 0.5, 2.5),), weights, weights, remembered_by(optimiser))


@pytest.mark.parametrize("kind", [torch.optim.AdamW, functools.partial(torch.optim.SGD, momentum=0.9)])
def test_a_state_is_read_as_it_was_written(kind: Any, tmp_path: Path) -> None:
    """History, weights and what the optimiser remembers come back bit for bit."""
    state = _state(kind)
    save_state(tmp_path / "state.pt", state, PRINT)
    read = load_state(tmp_path / "state.pt", PRINT)
    assert read.history == state.history
    for name in state.last:
        assert torch.equal(read.last[name], state.last[name])
        assert torch.equal(read.best[name], state.best[name])
    _, optimiser = _trained(kind)
    optimiser.state.clear()
    remind(optimiser, read.optimiser, tmp_path)
    again = remembered_by(optimiser)
    assert again.keys() == state.optimiser.keys()
    for number, entry in state.optimiser.items():
        assert all(torch.equal(again[number][name], value) for name, value in entry.items())


def test_the_weights_of_a_state_do_not_change_with_the_network() -> None:
    """What is kept is a copy."""
    live = {"weight": torch.ones(2)}
    kept = copied(live)
    live["weight"] += 1
    assert torch.equal(kept["weight"], torch.ones(2))


def test_other_settings_are_all_named(tmp_path: Path) -> None:
    """The error names each setting that differs, what the state has and what was asked for, and how to go on."""
    save_state(tmp_path / "state.pt", _state(), PRINT | {"gone": True})
    with pytest.raises(InputError, match="is of a run with other settings") as caught:
        load_state(tmp_path / "state.pt", PRINT | {"--seed": 2, "--recipe step_epochs": []})
    assert [str(problem) for problem in caught.value.problems] == [
        "--seed: found 1 in the state, expected 2",
        "--recipe step_epochs: found 0.5, 0.75 in the state, expected none",
        "gone: found True in the state, expected nothing",
    ]
    assert "--fresh" in caught.value.message


def test_a_damaged_state_is_one_error(tmp_path: Path) -> None:
    """Cut off, empty or something else, it is an error that names the file and the way on."""
    path = tmp_path / "state.pt"
    save_state(path, _state(), PRINT)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"something else", whole[:-30] + b"x" * 30):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"state\.pt") as caught:
            load_state(path, PRINT)
        assert "--fresh" in caught.value.message


@pytest.mark.parametrize(
    "content", [{"a": torch.ones(1)}, [1], {"training_state": 0}, {"training_state": 1, "fingerprint": PRINT}]
)
def test_what_is_no_state_of_this_version_is_one_error(content: Any, tmp_path: Path) -> None:
    """Weights, another version or a state that lacks parts are told apart from a state."""
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises(InputError, match="--fresh"):
        load_state(tmp_path / "state.pt", PRINT)


class _Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("harm"),)


def test_a_state_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that calls something is refused, and what it calls does not run."""
    monkeypatch.chdir(tmp_path)
    torch.save({"training_state": 1, "fingerprint": PRINT, "history": _Harmful()}, "state.pt")
    with pytest.raises(RefusedError, match=r"refused state\.pt"):
        load_state(Path("state.pt"), PRINT)
    Path("bare.pt").write_bytes(pickle.dumps(_Harmful()))
    with pytest.raises((InputError, RefusedError)):
        load_state(Path("bare.pt"), PRINT)
    assert not Path("harm").exists()


def test_what_another_network_s_optimiser_remembers_does_not_fit(tmp_path: Path) -> None:
    """Other shapes, or more parameters than there are, are an error instead of a wrong step."""
    _, other = _trained(width=5)
    remembered = remembered_by(other)
    _, optimiser = _trained()
    for wrong in (remembered, {9: remembered[0]}):
        with pytest.raises(InputError, match="its optimiser is that of another network"):
            remind(optimiser, wrong, tmp_path / "state.pt")
