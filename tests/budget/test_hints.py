"""What is said to help: the layers that cost most, what is left, and hints that are true and of use."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwsbench.budget.hints import headroom, hints, most_expensive
from kwsbench.budget.report import Convolution, Count, Layer, Limits, Report, Verdict


def _layer(name: str, kind: str, params: int, macs: int, shape: Convolution | None = None) -> Layer:
    return Layer(name=name, kind=kind, params=params, macs=macs, weight_bytes=4 * params, convolution=shape)


CONV = _layer("stem", "convolution", 640, 64_000)
BODY = _layer("body", "convolution", 1_000, 30_000)
DENSE = _layer("head", "addmm", 2_010, 2_000)
ALL = (CONV, BODY, DENSE)


def _report(limits: Limits, layers: tuple[Layer, ...] = ALL, **more: Any) -> Report:
    count = Count(params=sum(layer.params for layer in layers), macs=sum(layer.macs for layer in layers))
    fields = {
        "model": "model.pt",
        "sha256": "0" * 64,
        "format": "kwsbench",
        "params": count.params,
        "macs": count.macs,
        "weight_bytes": 4 * count.params,
        "thop": None,
        "audit": count,
        "front_end": None,
        "limits": limits,
        "limits_from": "the command line",
        "within_budget": False,
        "verdict": Verdict.OVER,
        "findings": (),
        "layers": layers,
    }
    return Report(**fields | more)


def test_the_most_expensive_layers_come_first() -> None:
    """Layers are ranked by MACs or by parameters, with their share of all layers."""
    assert [(one.layer.name, one.cost) for one in most_expensive(ALL, "macs")] == [
        ("stem", 64_000),
        ("body", 30_000),
        ("head", 2_000),
    ]
    by_params = most_expensive(ALL, "params", count=1)
    assert (by_params[0].layer.name, by_params[0].share) == ("head", 2_010 / 3_650)


def test_layers_that_cost_nothing_are_not_expensive() -> None:
    """A layer without cost is left out, and without layers there is nothing to rank."""
    assert most_expensive((_layer("add", "add", 0, 0), CONV), "macs")[0].layer == CONV
    assert len(most_expensive((_layer("add", "add", 0, 0), CONV), "macs")) == 1
    assert most_expensive((), "params") == ()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8))
def test_ranking_is_that_of_sorting(costs: list[tuple[int, int]]) -> None:
    """The first three of all layers by cost, earlier ones first among equals, with shares that never exceed 1."""
    layers = tuple(_layer(str(number), "mm", params, macs) for number, (params, macs) in enumerate(costs))
    ranked = most_expensive(layers, "macs")
    expected = sorted((layer for layer in layers if layer.macs), key=lambda layer: (-layer.macs, int(layer.name)))[:3]
    assert [one.layer for one in ranked] == expected
    assert sum(one.share for one in ranked) <= 1 + 1e-9


def test_headroom_says_what_may_be_added() -> None:
    """A limit that is kept says how much is left, and one that is broken, absent or open says nothing."""
    limits = Limits(max_params=5_000, max_macs=1_000, max_latency_ms=2)
    assert headroom(_report(limits, latency_ms=0.5)) == ("1,350 parameters", "1.500 ms for one input")
    assert headroom(_report(limits)) == ("1,350 parameters",)
    assert headroom(_report(Limits())) == ()


def test_a_model_within_its_limits_needs_no_hint() -> None:
    """Where every limit is kept, or there is none, nothing is advised."""
    assert hints(_report(Limits(max_params=3_650, max_macs=96_000, max_weight_bytes=14_600))) == ()
    assert hints(_report(Limits())) == ()


def test_the_first_convolution_is_blamed_for_macs() -> None:
    """The first convolution is named with its share, and with what it costs at half as many frames."""
    said = hints(_report(Limits(max_macs=90_000)))[0]
    assert said.startswith("the first convolution, stem, costs 66.7 % of the MACs")
    assert "about 32,000 instead of 64,000" in said


@pytest.mark.parametrize(
    ("limits", "layers"),
    [
        (Limits(max_params=10), ALL),
        (Limits(max_macs=10), (_layer("stem", "convolution", 10, 19), _layer("body", "mm", 10, 81))),
        (Limits(max_macs=10), (DENSE,)),
    ],
    ids=["another limit", "a small share", "no convolution"],
)
def test_the_first_convolution_is_left_in_peace_elsewhere(limits: Limits, layers: tuple[Layer, ...]) -> None:
    """It is not blamed for parameters, nor where it costs little, nor where there is none."""
    assert not [hint for hint in hints(_report(limits, layers)) if "first convolution" in hint]


def test_a_dense_layer_is_blamed_for_parameters() -> None:
    """A dense layer that runs once for an input is named with its share of the parameters."""
    said = hints(_report(Limits(max_params=3_000)))[0]
    assert said.startswith("the dense layer head holds 55.1 % of the parameters (2,010)")


@pytest.mark.parametrize(
    ("layers", "seconds"),
    [
        ((CONV, _layer("frames", "addmm", 2_010, 200_000)), None),
        ((CONV, _layer("small", "addmm", 110, 100)), None),
        ((CONV, _layer("table", "embedding", 2_010, 0)), None),
        ((CONV, DENSE), 2.0),
    ],
    ids=["on every frame", "a small share", "a table", "twice in two seconds"],
)
def test_what_is_no_dense_layer_on_a_flattened_map_is_not_blamed(
    layers: tuple[Layer, ...], seconds: float | None
) -> None:
    """A matrix on every frame, a small one and a look-up table have nothing to pool before them."""
    report = _report(Limits(max_params=10), layers, input_seconds=seconds)
    assert not [hint for hint in hints(report) if "dense layer" in hint]


def test_a_depthwise_separable_convolution_is_counted_exactly() -> None:
    """A 3 x 3 convolution from 16 to 32 channels has 4,608 weights, its separable form 16 x 9 + 16 x 32 = 656."""
    shape = Convolution(out_channels=32, in_channels=16, kernel=9)
    assert (shape.weights, shape.separable_weights) == (4_608, 656)
    layer = _layer("conv", "convolution", 4_640, 4_608 * 50, shape)
    (said,) = [hint for hint in hints(_report(Limits(max_macs=100_000), (layer,))) if "separ" in hint]
    assert "costs about 32,800 MACs and 688 parameters instead of 230,400 and 4,640" in said


@pytest.mark.parametrize(
    "shape",
    [
        Convolution(out_channels=32, in_channels=16, kernel=1),
        Convolution(out_channels=16, in_channels=16, kernel=9, groups=16),
        Convolution(out_channels=1, in_channels=16, kernel=9),
    ],
    ids=["pointwise", "depthwise", "one output"],
)
def test_a_convolution_that_would_not_become_cheaper_stays(shape: Convolution) -> None:
    """A pointwise or depthwise convolution, or one with few outputs, is not to be made separable."""
    layer = _layer("conv", "convolution", shape.weights, shape.weights * 50, shape)
    assert not [hint for hint in hints(_report(Limits(max_params=1), (layer,))) if "separ" in hint]


def test_a_convolution_whose_weight_is_made_from_fewer_numbers_stays() -> None:
    """Where fewer numbers are stored than the weight has, its separable form would not save what it seems to."""
    shape = Convolution(out_channels=32, in_channels=16, kernel=9)
    layer = _layer("conv", "convolution", shape.weights - 1, shape.weights * 50, shape)
    assert not [hint for hint in hints(_report(Limits(max_macs=1), (layer,))) if "separ" in hint]


def test_fewer_channels_are_advised_by_the_limit_that_is_furthest() -> None:
    """The width lies between the part of the figure that is allowed and its root, for the worse of two limits."""
    said = hints(_report(Limits(max_params=3_000, max_macs=24_000)))[-1]
    assert "between 0.25 and 0.50 times as many come to about 24,000 MACs per second" in said


def test_fewer_channels_are_not_advised_for_the_impossible() -> None:
    """A model ten times too large is not made to fit by its width."""
    assert not [hint for hint in hints(_report(Limits(max_macs=9_599))) if "fewer channels" in hint]
    assert [hint for hint in hints(_report(Limits(max_macs=9_600))) if "fewer channels" in hint]


@pytest.mark.parametrize(("limit", "says"), [(3_650, "within"), (3_649, "still over")])
def test_int8_is_advised_for_bytes(limit: int, says: str) -> None:
    """Weights of more than 8 bits would take a byte each, and it is said whether that is enough."""
    (said,) = hints(_report(Limits(max_weight_bytes=limit)))
    assert "int8 weights take 3,650 bytes and their scales instead of 14,600" in said
    assert f"{says} the limit of {limit:,}" in said


def test_int8_is_not_advised_for_int8() -> None:
    """Weights that take a byte each, or less, cannot be made smaller that way."""
    assert hints(_report(Limits(max_weight_bytes=10), weight_bytes=3_650)) == ()


@given(
    st.lists(st.tuples(st.sampled_from(["convolution", "mm", "add"]), st.integers(0, 999), st.integers(0, 9_999))),
    st.integers(1, 5_000),
)
def test_every_hint_has_a_figure(costs: list[tuple[str, int, int]], limit: int) -> None:
    """Whatever the layers are, a hint that is given names a number."""
    layers = tuple(_layer(f"l{'x' * number}", kind, params, macs) for number, (kind, params, macs) in enumerate(costs))
    limits = Limits(max_params=limit, max_macs=limit, max_weight_bytes=limit)
    assert all(re.search(r"\d", hint) for hint in hints(_report(limits, layers)))
