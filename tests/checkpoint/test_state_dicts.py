"""Tests of `kwsbench.checkpoint.state_dicts`: where people put their weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from kwsbench.checkpoint.tensors import StoredTensors, read_tensors
from kwsbench.errors import InputError
from tests.checkpoint.conftest import as_model, saved, small_network

W = torch.ones(2)


def _read(value: Any) -> StoredTensors:
    return read_tensors(as_model(saved(value)))


def _trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    network = nn.Linear(2, 1)
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    return network, optimiser


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({"a.w": W}, ["a.w"]),
        ({"model": {"w": W}}, ["w"]),
        ({"anything": {"w": W}}, ["w"]),
        ({"checkpoint": {"model": {"w": W}}}, ["w"]),
        ({"model": {"w": W}, "ema": {"w": W}}, ["w"]),
        ({"state_dict": {"w": W}, "model": {"v": W}, "u": W}, ["w"]),
        ({"encoder": {"w": W}, "decoder": {"w": W}}, ["encoder.w", "decoder.w"]),
        ({"model": {"w": W}, "net": {"v": W}}, ["model.w", "net.v"]),
        ({"w": W, "block": {"v": [W, W], "u": (W,)}}, ["w", "block.v.0", "block.v.1", "block.u.0"]),
        ({0: {"w": W}, 1: {"w": W}}, ["0.w", "1.w"]),
        ({"state_dict": {"model": {"w": W}}}, ["w"]),
        ({"state_dict": {}, "w": W}, ["w"]),
    ],
)
def test_weights_are_found_where_people_put_them(value: dict[Any, Any], names: list[str]) -> None:
    """Wrappers are taken off where it is clear which they are; otherwise every tensor is a weight."""
    assert list(_read(value).tensors) == names


def test_an_optimiser_is_left_out() -> None:
    """A training checkpoint's optimiser is no part of the model, and is named."""
    network, optimiser = _trained()
    stored = _read({"net": network.state_dict(), "optimizer": optimiser.state_dict(), "epoch": 3})
    assert stored.tensors.keys() == network.state_dict().keys()
    assert (stored.metadata, stored.left_out) == ({"epoch": 3}, ("optimizer",))


def test_an_optimiser_beside_bare_weights_is_left_out() -> None:
    """Also where the weights have no name of their own."""
    network, optimiser = _trained()
    assert list(_read({**network.state_dict(), "optimizer": optimiser.state_dict()}).tensors) == ["weight", "bias"]


def test_a_lightning_checkpoint_gives_weights_and_plain_values() -> None:
    """What Lightning keeps beside the weights is read where it is plain, and named where it is not."""
    network, optimiser = _trained()
    value = {
        "epoch": 3,
        "global_step": 12,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": network.state_dict(),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [optimiser.state_dict()],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"rate": 0.1, "layers": [1, 2]},
    }
    stored = _read(value)
    assert list(stored.tensors) == ["weight", "bias"]
    assert stored.left_out == ("callbacks", "optimizer_states")
    assert stored.metadata["hyper_parameters"] == {"rate": 0.1, "layers": [1, 2]}
    assert stored.plain_numbers == 0


def test_numbers_that_are_no_tensors_are_counted() -> None:
    """Weights that hide in lists, floats or byte strings among the weights are not overlooked."""
    stored = _read({"state_dict": {"w": W, "extra": [0.5, 1, 1j, b"1234", "text", None]}, "epoch": 3})
    assert stored.plain_numbers == 8


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (W, "it holds a single tensor, expected a dict of tensors; save `model.state_dict"),
        ([W], "it holds a list"),
        (5, "it holds a int"),
        ({}, "there are no tensors in it"),
        ({"state_dict": {"w": 1}}, "there are no tensors in it"),
        ({"a.b": W, "a": {"b": W}}, "two tensors of the name 'a.b'"),
        ({0: W, "0": W}, "two tensors of the name '0'"),
        ({"w\x1b[2J": W}, r"a tensor whose name cannot be printed: 'w\\x1b[2J'"),
    ],
)
def test_what_has_no_named_tensors_says_so(value: Any, says: str) -> None:
    """One sentence says what is there instead."""
    with pytest.raises(InputError) as caught:
        _read(value)
    assert says.replace("\\\\", "\\") in str(caught.value)


def test_a_network_can_be_built_from_what_is_read() -> None:
    """The names and shapes are those that `load_state_dict` expects."""
    network = small_network()
    expected = network.state_dict()
    stored = _read({"model_state_dict": expected})
    assert network.load_state_dict(stored.tensors)
    assert all(torch.equal(network.state_dict()[name], expected[name]) for name in expected)
