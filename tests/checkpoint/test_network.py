"""Tests of `kwsbench.checkpoint.network`: networks on disk and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.model_file import Format, read_model_file
from kwsbench.checkpoint.network import NetworkCheckpoint, load_network, save_network
from kwsbench.errors import InputError, RefusedError
from tests.checkpoint.conftest import as_model, onnx_bytes, saved, small_network


@pytest.fixture
def checkpoint(header: ModelHeader) -> NetworkCheckpoint:
    """The small network with a header."""
    return NetworkCheckpoint(header, small_network().state_dict())


def test_a_network_comes_back_as_it_was(checkpoint: NetworkCheckpoint, tmp_path: Path) -> None:
    """Header and weights are those that were saved."""
    save_network(tmp_path / "model.pt", checkpoint)
    model = read_model_file(tmp_path / "model.pt")
    loaded = load_network(model)
    assert model.format is Format.KWSBENCH
    assert loaded.header == checkpoint.header
    assert list(loaded.state_dict) == list(checkpoint.state_dict)
    assert all(torch.equal(loaded.state_dict[name], tensor) for name, tensor in checkpoint.state_dict.items())


def test_the_file_is_what_the_design_says(checkpoint: NetworkCheckpoint, tmp_path: Path) -> None:
    """PyTorch alone reads it with `weights_only=True`: the header's fields, and `state_dict`."""
    save_network(tmp_path / "model.pt", checkpoint)
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    state_dict = content.pop("state_dict")
    assert content == json.loads(checkpoint.header.model_dump_json())
    assert {type(value) for value in state_dict.values()} == {torch.Tensor}


def test_equal_networks_give_equal_bytes(header: ModelHeader, tmp_path: Path) -> None:
    """Neither the file's name, nor gradients, views, or which texts are one object, change a byte."""
    weights = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.weight": torch.ones(2)}
    others = {
        b"a.weight".decode(): nn.Parameter(torch.arange(12.0)[:6].reshape(2, 3)),
        "b.weight": torch.ones(1).expand(2),
    }
    again = ModelHeader.model_validate_json(header.model_dump_json())
    for number, checkpoint in enumerate([(header, weights), (again, others)]):
        save_network(tmp_path / f"{number}.pt", NetworkCheckpoint(*checkpoint))
    assert (tmp_path / "0.pt").read_bytes() == (tmp_path / "1.pt").read_bytes()


def test_saving_what_was_loaded_gives_the_same_bytes(checkpoint: NetworkCheckpoint, tmp_path: Path) -> None:
    """A round trip changes nothing."""
    save_network(tmp_path / "a.pt", checkpoint)
    save_network(tmp_path / "b.pt", load_network(read_model_file(tmp_path / "a.pt")))
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_tied_weights_stay_tied(header: ModelHeader, tmp_path: Path) -> None:
    """Two names of one tensor are stored once."""
    weight = torch.ones(1000)
    save_network(tmp_path / "model.pt", NetworkCheckpoint(header, {"a": weight, "b": weight}))
    loaded = load_network(read_model_file(tmp_path / "model.pt")).state_dict
    assert loaded["a"].data_ptr() == loaded["b"].data_ptr()


def test_only_the_numbers_of_a_view_are_saved(header: ModelHeader, tmp_path: Path) -> None:
    """A slice of a large tensor does not take the rest of it along."""
    save_network(tmp_path / "model.pt", NetworkCheckpoint(header, {"w": torch.ones(1_000_000)[:3]}))
    assert (tmp_path / "model.pt").stat().st_size < 5_000


def test_a_file_that_cannot_be_written_is_one_message(checkpoint: NetworkCheckpoint, tmp_path: Path) -> None:
    """A folder is not replaced by a model."""
    with pytest.raises(InputError, match="it is a folder; name a file"):
        save_network(tmp_path, checkpoint)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda fields: fields.update(format=2), "format: input should be 1"),
        (lambda fields: fields.update(later="x"), "later: extra inputs are not permitted"),
        (lambda fields: fields.pop("labels"), "labels: field required"),
        (lambda fields: fields.update(labels=["yes", "yes"]), "a label appears twice"),
        (lambda fields: fields["front_end"].update(num_mels=10**9), "front_end.num_mels"),
        (lambda fields: fields.update(seed=1.5), "seed: input should be a valid integer"),
        (lambda fields: fields.update(seed=float("nan")), "is not one that this kwsbench reads"),
        (lambda fields: fields.update(seed=b"7"), "not JSON serializable"),
        (lambda fields: fields.update(config={"rate": torch.ones(1)}), "more than a header and weights"),
        (lambda fields: fields.update({5: 5}), "more than a header and weights"),
        (lambda fields: fields["state_dict"].update(extra=[0.5]), "more than a header and weights"),
    ],
)
def test_a_header_that_does_not_fit_is_one_message(
    change: Callable[[dict[str, Any]], Any], says: str, header: ModelHeader
) -> None:
    """A header of another version, or with other things in it, says what does not fit."""
    fields = json.loads(header.model_dump_json()) | {"state_dict": dict(small_network().state_dict())}
    change(fields)
    with pytest.raises(InputError) as caught:
        load_network(as_model(saved(fields), Format.KWSBENCH))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("data", "kind"), [(saved({"w": torch.ones(1)}), Format.STATE_DICT), (onnx_bytes(), Format.ONNX)]
)
def test_a_model_without_a_header_says_so(data: bytes, kind: Format) -> None:
    """Other formats are no networks that kwsbench trained."""
    with pytest.raises(InputError, match=f"without kwsbench's header \\({kind}\\)"):
        load_network(as_model(data, kind))


def test_code_beside_a_header_is_refused(header: ModelHeader, tmp_path: Path) -> None:
    """A file that looks like kwsbench's own gets no more trust than any other."""
    fields = json.loads(header.model_dump_json()) | {"state_dict": small_network()}
    (tmp_path / "model.pt").write_bytes(saved(fields))
    with pytest.raises(RefusedError, match="loading it would run code"):
        read_model_file(tmp_path / "model.pt")
