"""`kwsbench.runtime.networks`: weights that fit or are all named, and strangers' programs in the sandbox only."""

from __future__ import annotations

import dataclasses
import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from kwsbench.baseline import MOST_STORED_NUMBERS
from kwsbench.checkpoint.model_file import Format, ModelFile, read_model_file
from kwsbench.checkpoint.network import NetworkCheckpoint, save_network
from kwsbench.errors import InputError, KwsbenchError, RefusedError
from kwsbench.runtime.definitions import Definition
from kwsbench.runtime.networks import (
    NetworkSource,
    input_shape_of,
    load_weights,
    network_of,
    network_of_checkpoint,
    request_of,
    source_of,
)
from tests.checkpoints import checkpoint_of

DEFINITION = Definition("net.py", "raise AssertionError('it ran')\ndef Net(): pass\n", "Net")


def _network() -> nn.Module:
    return nn.Sequential(nn.Conv1d(8, 4, 3), nn.BatchNorm1d(4), nn.Dropout(0.5))


def _weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(tensor, 3) for name, tensor in network.state_dict().items()}


def test_weights_that_do_not_fit_are_all_named() -> None:
    """One message says which tensors are missing, which are too many, and which have another shape."""
    network = _network()
    weights = _weights(network)
    del weights["0.bias"]
    weights |= {"1.weight": torch.ones(5), "later": torch.ones(2, 3)}
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(InputError, match=r"the weights of w\.pt do not fit the architecture") as caught:
        load_weights(network, weights, "w.pt")
    assert {(problem.where, problem.found, problem.expected) for problem in caught.value.problems} == {
        ("0.bias", "nothing", "shape (4,)"),
        ("1.weight", "shape (5,)", "shape (4,)"),
        ("later", "shape (2, 3)", "nothing"),
    }
    assert all(before[name].equal(tensor) for name, tensor in network.state_dict().items())


def test_a_thousand_misfits_are_a_short_message() -> None:
    """Of many misfits of one kind the first are named and the rest are counted."""
    weights = {f"strange.{number}": torch.ones(1) for number in range(1_000)}
    with pytest.raises(InputError) as caught:
        load_weights(nn.Linear(1, 1, bias=False), weights, "w.pt")
    assert "(and 995 more like it)" in str(caught.value)
    assert len(str(caught.value).splitlines()) < 10


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "net.", "network.", "_orig_mod."])
def test_what_wrappers_put_before_names_is_taken_off(prefix: str) -> None:
    """Weights of DataParallel, Lightning and compiled modules go into the bare network, to the last number."""
    network = _network()
    wrapped = {f"{prefix}{name}": tensor for name, tensor in _weights(network).items()}
    load_weights(network, wrapped, "w.pt")
    assert all((tensor == 3).all() for tensor in network.state_dict().values())


def test_a_name_that_looks_like_a_wrapper_stays() -> None:
    """A network with a part that is itself called `model` gets its own weights."""
    network = nn.ModuleDict({"model": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    load_weights(network, _weights(network), "w.pt")
    assert all((tensor == 3).all() for tensor in network.state_dict().values())


def test_a_checkpoint_becomes_its_baseline_with_its_weights_for_evaluation(tmp_path: Path) -> None:
    """What was saved is what runs, without dropout and without statistics of the batch."""
    checkpoint = checkpoint_of("conv1d_sber")
    save_network(tmp_path / "model.pt", checkpoint)
    source = NetworkSource(read_model_file(tmp_path / "model.pt"))
    network = network_of(source)
    assert not any(module.training for module in network.modules())
    assert all(checkpoint.state_dict[name].equal(tensor) for name, tensor in network.state_dict().items())
    assert network(torch.zeros(3, *input_shape_of(checkpoint.header))).shape == (3, 12)


dispatch_mode: Any = TorchDispatchMode  # its constructor has no types


class _LargestTensor(dispatch_mode):  # type: ignore[misc]
    """Notes how large a tensor was made that takes memory."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.device.type == "cpu":
            self.numbers = max(self.numbers, made.numel())
        return made


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"config": {"channels": 10**9}}, "found 1000000000, expected an integer from 1 to 512"),
        ({"config": {"channels": -1}}, "found -1, expected an integer from 1 to 512"),
        ({"config": {"hidden_size": 10**30}}, "expected an integer from 1 to 1024"),
        ({"labels": 100_000, "config": {"hidden_size": 1024}}, "would store 102,"),
        ({"labels": 100_000}, "do not fit the architecture"),
        ({"baseline": "ffnn", "config": {"hidden_size": 1024}, "frames": 6_000}, "would store 6"),
    ],
    ids=["channels", "negative", "beyond any integer", "labels times width", "labels", "frames times width"],
)
def test_an_absurd_header_fails_before_memory_is_taken(changes: dict[str, Any], says: str) -> None:
    """Settings, labels and frames that would fill the memory are refused while the network is still an outline."""
    original = checkpoint_of(changes.get("baseline", "conv1d_sber"))
    header = original.header
    labels = tuple(f"word{number}" for number in range(changes.get("labels", 12)))
    clip_samples = changes.get("frames", 100) * header.front_end.hop_samples
    changed = header.model_copy(
        update={"config": {**header.config, **changes["config"]} if "config" in changes else header.config}
        | {"labels": labels, "clip_samples": max(clip_samples, header.clip_samples)}
    )
    with _LargestTensor() as seen, pytest.raises(InputError) as caught:
        network_of_checkpoint(NetworkCheckpoint(changed, original.state_dict))
    assert seen.numbers <= MOST_STORED_NUMBERS
    assert says in str(caught.value)


class _RunsWhenUnpickled:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise AssertionError('it ran')",)


def _archive_of_stranger(kind: Format) -> bytes:
    """An archive that looks like a program of this format, and is a payload wherever it can be one."""
    payload = io.BytesIO()
    torch.save(_RunsWhenUnpickled(), payload)
    parts = {
        Format.TORCHSCRIPT: ("m/constants.pkl", "m/data.pkl"),
        Format.EXPORTED_PROGRAM: ("m/data/weights/weight_0", "m/data/sample_inputs/model.pt"),
    }[kind]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in parts:
            archive.writestr(name, payload.getvalue())
        if kind == Format.EXPORTED_PROGRAM:
            archive.writestr("m/archive_format", "pt2")
    return packed.getvalue()


@pytest.mark.parametrize("kind", [Format.TORCHSCRIPT, Format.EXPORTED_PROGRAM])
def test_programs_of_strangers_are_loaded_in_the_sandbox_only(
    kind: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here they are refused before PyTorch sees a byte of them."""
    path = tmp_path / "model"
    path.write_bytes(_archive_of_stranger(kind))
    model = read_model_file(path)
    assert model.format == kind
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("loaded"))
    monkeypatch.setattr(torch.export, "load", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(RefusedError, match="in the sandbox only"):
        network_of(NetworkSource(model))


def test_a_definition_is_run_in_the_sandbox_only(tmp_path: Path) -> None:
    """Weights with an architecture of their author's are refused here, and the definition does not run."""
    torch.save({"w": torch.ones(1)}, tmp_path / "weights.pt")
    source = NetworkSource(read_model_file(tmp_path / "weights.pt"), DEFINITION)
    with pytest.raises(RefusedError, match="in the sandbox only"):
        network_of(source)


@pytest.mark.parametrize("kind", [Format.ONNX, Format.LIGHTGBM, Format.STATE_DICT])
def test_what_holds_no_network_is_not_made_one(kind: Format) -> None:
    """Other formats end in one message, whoever asks."""
    with pytest.raises(KwsbenchError):
        network_of(NetworkSource(ModelFile(Path("model"), b"", kind, "")))


@pytest.mark.parametrize("definition", [None, DEFINITION], ids=["alone", "with a definition"])
def test_the_sandbox_gets_what_the_parent_read(definition: Definition | None, tmp_path: Path) -> None:
    """Bytes, format, name and definition are the same on the other side, and the file is not read again."""
    path = tmp_path / "weights.pt"
    torch.save({"w": torch.ones(1)}, path)
    source = NetworkSource(read_model_file(path), definition)
    path.unlink()
    request, files = request_of(source)
    (tmp_path / "job").mkdir()
    for name, content in files.items():
        (tmp_path / "job" / name).write_bytes(content)
    assert source_of(request, {name: tmp_path / "job" / name for name in files}) == source


def test_a_failure_of_torch_names_the_file_and_the_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyTorch says of a broken archive becomes one line about this file."""
    path = tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.ReLU()), path)
    model = read_model_file(path)
    broken = dataclasses.replace(model, data=model.data[: len(model.data) // 2])
    monkeypatch.setattr("kwsbench.runtime.networks.require_inside", lambda: None)
    with pytest.raises(InputError, match=r"^torch cannot read script\.pt as torchscript: .*$") as caught:
        network_of(NetworkSource(broken))
    assert "\n" not in caught.value.message
