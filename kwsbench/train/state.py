"""The state of a run after an epoch: all that it needs to go on as if nothing had happened, in one file.

The file is written whole or not at all, and is the truth: every other result of the run is made from it again when
the run goes on. It is read like the checkpoint of a stranger.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kwsbench.checkpoint.archives import open_archive
from kwsbench.checkpoint.model_file import read_model_bytes
from kwsbench.checkpoint.pickles import scan_archive
from kwsbench.errors import InputError
from kwsbench.files import replacing
from kwsbench.train.fingerprint import Fingerprint, differences
from kwsbench.train.history import EpochRecord

FORMAT = 1
"""Version of the file."""

Weights = dict[str, torch.Tensor]

_DAMAGED = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, OverflowError, OSError, EOFError)


@dataclass(frozen=True, eq=False)
class RunState:
    """A run after its last whole epoch.

    Attributes:
        history: What each epoch brought.
        last: Weights after the last epoch.
        best: Weights after the best one.
        optimiser: What the optimiser remembers of each parameter, by its number.
    """

    history: tuple[EpochRecord, ...]
    last: Weights
    best: Weights
    optimiser: dict[int, dict[str, Any]]


def save_state(path: Path, state: RunState, fingerprint: Fingerprint) -> None:
    """Writes a state whole or not at all. Raises InputError where it cannot be written."""
    content = {
        "training_state": FORMAT,
        "fingerprint": fingerprint,
        "history": [dataclasses.asdict(record) for record in state.history],
        "last": state.last,
        "best": state.best,
        "optimiser": state.optimiser,
    }
    packed = io.BytesIO()
    torch.save(content, packed)
    with replacing(path) as temporary:
        temporary.write_bytes(packed.getbuffer())


def load_state(path: Path, fingerprint: Fingerprint) -> RunState:
    """Reads the state that a run of this fingerprint goes on from.

    Raises:
        InputError: It is damaged, of another version, or of a run with other settings, which are all named.
        RefusedError: It holds more than tensors and plain values, and could do harm.
    """
    content = _read(path)
    if not isinstance(content, dict) or content.get("training_state") != FORMAT:
        raise InputError(f"{path} is no training state of this version of kwsbench; {_WAYS_ON}")
    problems = differences(content.get("fingerprint", {}), fingerprint)
    if problems:
        raise InputError(f"{path} is of a run with other settings; give them again, or {_WAYS_ON}", problems)
    try:
        history = tuple(EpochRecord(**record) for record in content["history"])
        return RunState(history, content["last"], content["best"], content["optimiser"])
    except (TypeError, KeyError) as error:
        raise _damaged(path, error) from error


_WAYS_ON = "start over with --fresh, or name another folder with --output"


def _read(path: Path) -> Any:
    try:
        data = read_model_bytes(path)
        scan_archive(open_archive(data, path))
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True, mmap=False)
    except InputError as error:
        raise InputError(f"{error.message}; {_WAYS_ON}") from error
    except _DAMAGED as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    reason = str(error).partition("\n")[0][:200] or type(error).__name__
    return InputError(f"{path} is damaged ({reason}); {_WAYS_ON}")


def copied(tensors: Mapping[str, Any]) -> Weights:
    """Returns tensors by name as they are now, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def remembered_by(optimiser: torch.optim.Optimizer) -> dict[int, dict[str, Any]]:
    """Returns what an optimiser remembers of each parameter."""
    entries: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {
        number: {name: value.detach().cpu().clone() if torch.is_tensor(value) else value for name, value in one.items()}
        for number, one in entries.items()
    }


def remind(optimiser: torch.optim.Optimizer, remembered: Mapping[int, Mapping[str, Any]], path: Path) -> None:
    """Gives an optimiser what it remembered. Raises InputError where that does not fit its parameters."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for number, entry in remembered.items():
        shape = parameters[number].shape if number in range(len(parameters)) else None
        if any(torch.is_tensor(value) and value.shape not in ((), shape) for value in entry.values()):
            raise _damaged(path, ValueError("its optimiser is that of another network"))
    optimiser.load_state_dict({**optimiser.state_dict(), "state": dict(remembered)})
