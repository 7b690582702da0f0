"""The network that is trained with rounding, its export in integers, and networks that are rounded after training."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from kwsbench import export as module
from kwsbench.baseline import build_network, load_baseline, require_torch
from kwsbench.checkpoint.exports import header_of_export
from kwsbench.checkpoint.model_file import Format, read_model_file
from kwsbench.checkpoint.network import NetworkCheckpoint, load_network
from kwsbench.dataset.few_clips import few_clips
from kwsbench.errors import CheckFailedError, InputError
from kwsbench.export import Exported, calibration_clips, comparison_clips, export, export_in_8_bits
from kwsbench.predict import load_model, predict_split
from kwsbench.quantise import rounded_after_training
from kwsbench.runtime.networks import network_of_checkpoint
from kwsbench.runtime.scores import score_with_network
from kwsbench.train.network import train_network
from kwsbench.train.options import TrainingOptions
from tests.budget.onnx.models import audit_of
from tests.checkpoints import checkpoint_of
from tests.conftest import Tiny

NAME = "tc_resnet8_int8"
SHAPE = (40, 98)
CONV_AND_LINEAR = 1_522_560  # as published for tc_resnet8


def sound(num_clips: int, seed: int = 0) -> NDArray[np.float32]:
    """Features that differ from clip to clip, loud in low coefficients as MFCC are."""
    rng = np.random.default_rng(seed)
    clips = rng.normal(size=(num_clips, 1, 1)) + rng.normal(size=(num_clips, *SHAPE))
    return (clips * np.geomspace(30, 1, SHAPE[0])[:, None]).astype(np.float32)


def measured(**settings: Any) -> NetworkCheckpoint:
    """The network as after some batches: its statistics are those of the clips, its weights are random."""
    checkpoint = checkpoint_of(NAME, **settings)
    network = network_of_checkpoint(checkpoint).train()
    with torch.no_grad():
        for seed in range(40):
            network(torch.from_numpy(sound(16, seed)))
    return NetworkCheckpoint(checkpoint.header, network.state_dict())


def stored(graph: Any) -> dict[str, NDArray[Any]]:
    """What an ONNX graph stores, by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def integers_of(exported: Exported) -> list[NDArray[Any]]:
    """The integer weights in an export, in the order in which they are used, with the outputs' channels first."""
    graph = onnx.load(exported.path).graph
    arrays = stored(graph)
    used = [
        arrays[node.input[0]] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in arrays
    ]
    return [array for array in used if array.ndim > 1]


@pytest.fixture(scope="module")
def checkpoint() -> NetworkCheckpoint:
    """The network in 8 bits."""
    return measured()


@pytest.fixture(scope="module")
def exported(checkpoint: NetworkCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Its export to ONNX."""
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    (one,) = export(checkpoint, sound(64, 100), {Format.ONNX: path})
    return one


@pytest.fixture(scope="module")
def in_floats(tmp_path_factory: pytest.TempPathFactory) -> tuple[NetworkCheckpoint, Exported]:
    """TC-ResNet8 in floating point, and its export to ONNX."""
    checkpoint = checkpoint_of("tc_resnet8")
    path = tmp_path_factory.mktemp("float") / "model.onnx"
    (one,) = export(checkpoint, sound(8), {Format.ONNX: path})
    return checkpoint, one


def test_without_brevitas_the_file_is_read_and_the_network_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of baselines needs no Brevitas; making the network does, and one message says how to install it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "brevitas"] + ["brevitas"]:
        monkeypatch.setitem(sys.modules, name, None)
    baseline = load_baseline(NAME)
    with pytest.raises(InputError, match=r"^Brevitas is not installed; run `pip install 'kwsbench\[quantise\]'`$"):
        build_network(baseline, baseline.Config(), 12, *SHAPE)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_weights_have_as_many_values_as_their_bits_allow(bits: int, tmp_path: Path) -> None:
    """Weights are integers without -2^(bits - 1); those of the first and the last layer have 8 bits always."""
    path = tmp_path / "model.onnx"
    (one,) = export(measured(weight_bits=bits, activation_bits=bits), sound(32, 100), {Format.ONNX: path})
    largest = [int(np.abs(weights.astype(int)).max()) for weights in integers_of(one)]
    assert (largest[0], largest[-1]) == (127, 127)
    assert all(2 ** (bits - 2) <= one < 2 ** (bits - 1) for one in largest[1:-1])
    assert one.equal_labels >= 0.9


def test_folding_batch_norm_changes_no_integer(checkpoint: NetworkCheckpoint, exported: Exported) -> None:
    """The integers of the export are those that training rounds to, but for the sign of channels that are turned."""
    network = network_of_checkpoint(checkpoint).eval()
    layers = [layer for layer in network.modules() if hasattr(layer, "weight_quant") and hasattr(layer, "weight")]
    rounded = [(layer.quant_weight().value / layer.quant_weight().scale).round().int().numpy() for layer in layers]
    found = integers_of(exported)
    assert sorted(weights.shape for weights in found) == sorted(weights.shape for weights in rounded)
    for weights in rounded:
        assert any(np.array_equal(np.abs(weights), np.abs(one)) for one in found if one.shape == weights.shape)


def test_the_export_is_counted_in_8_bits(exported: Exported) -> None:
    """What `tc_resnet8` is published to multiply is 8 bits by 8 bits, and weights take a byte each."""
    audit = audit_of(exported.path.read_bytes(), (1, *SHAPE))
    assert not [finding.message for finding in audit.findings if finding.blocks]
    assert CONV_AND_LINEAR <= audit.macs_by_width["8x8"] <= CONV_AND_LINEAR + 48
    assert 64_512 <= audit.weight_bytes <= 0.3 * 4 * 65_168


def test_the_export_takes_less_than_a_third_of_the_bytes(
    exported: Exported, in_floats: tuple[NetworkCheckpoint, Exported]
) -> None:
    """At most 30 % of the float network's file, header and all."""
    assert exported.path.stat().st_size <= 0.3 * in_floats[1].path.stat().st_size


def test_onnxruntime_runs_every_layer_on_integers(exported: Exported, tmp_path: Path) -> None:
    """No convolution, no addition and no product is left in floating point once onnxruntime has fused the pairs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 4
    onnxruntime.InferenceSession(exported.path, options, providers=["CPUExecutionProvider"])
    kinds = collections.Counter(node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node)
    assert kinds["QLinearConv"] == 10
    assert kinds["QLinearAdd"] == 3
    assert not {"Conv", "Add", "MatMul", "Gemm", "FusedConv"} & set(kinds)


def test_the_export_carries_the_header_and_names_the_labels_of_the_network(
    checkpoint: NetworkCheckpoint, exported: Exported
) -> None:
    """Read again as any model, it gives the network's labels for the clips that it was compared on."""
    assert header_of_export(read_model_file(exported.path)) == checkpoint.header
    assert exported.equal_labels >= 0.95
    clips = sound(64, 100)
    expected = score_with_network(network_of_checkpoint(checkpoint).eval(), clips)
    assert exported.largest_difference <= 0.02 * np.ptp(expected)
    assert len(set(expected.argmax(axis=1))) > 2


def test_integers_that_are_further_off_are_not_written(
    checkpoint: NetworkCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of the deviation of the scores is the most; beyond it there is no file."""
    honest = module.score_inputs
    monkeypatch.setattr(module, "score_inputs", lambda *arguments: honest(*arguments) + 0.12 * honest(*arguments).std())
    with pytest.raises(CheckFailedError, match=r"differ by 0\.12 of their deviation \(at most 0\.1\); not written"):
        list(export(checkpoint, sound(16), {Format.ONNX: tmp_path / "model.onnx"}))
    assert not list(tmp_path.iterdir())


def test_equal_checkpoints_give_equal_bytes(checkpoint: NetworkCheckpoint, exported: Exported, tmp_path: Path) -> None:
    """Two exports are the same file."""
    (again,) = export(checkpoint, sound(64, 100), {Format.ONNX: tmp_path / "again.onnx"})
    assert again.path.read_bytes() == exported.path.read_bytes()


class TestTraining:
    """The network in the training loop."""

    @pytest.fixture(autouse=True)
    def _fast(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "fsync", lambda _: None)

    def _train(self, tiny: Tiny, folder: Path, say: Any = lambda _: None) -> Any:
        baseline = require_torch(load_baseline(NAME))
        config = baseline.Config()
        recipe = dataclasses.replace(baseline.recipe(config), epochs=2, batch_size=4, learning_rate=0.02)
        return train_network(
            baseline, config, recipe, tiny.prepare(), folder, TrainingOptions(device="cpu", num_threads=1), say
        )

    def test_it_is_saved_and_loaded_with_equal_scores(self, tiny: Tiny, tmp_path: Path) -> None:
        """The checkpoint that training leaves gives the same scores each time, and its export the same labels."""
        trained = self._train(tiny, tmp_path / "run")
        assert len(trained.history) == 2
        path = trained.folder / "model.pt"
        first, second = (predict_split(load_model(path), tiny.prepare(), "test") for _ in range(2))
        np.testing.assert_array_equal(first.scores, second.scores)
        checkpoint = load_network(read_model_file(path))
        ranges = [float(tensor) for name, tensor in checkpoint.state_dict.items() if name.endswith("running_stats")]
        assert len(ranges) == 15
        assert 1.0 not in ranges
        clips = comparison_clips(checkpoint.header, None, Path("nowhere"), 8)
        list(export(checkpoint, clips.inputs, {Format.ONNX: tmp_path / "model.onnx"}))

    def test_a_run_that_goes_on_ends_in_the_same_bytes(self, tiny: Tiny, tmp_path: Path) -> None:
        """What the quantisers have measured is part of the weights: stopped after an epoch or not, it is the same."""
        whole = self._train(tiny, tmp_path / "whole")
        said = itertools.count()

        def stop(_: str) -> None:
            if next(said) == 0:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self._train(tiny, tmp_path / "parts", stop)
        parts = self._train(tiny, tmp_path / "parts")
        for name in ("model.pt", "last.pt"):
            assert (parts.folder / name).read_bytes() == (whole.folder / name).read_bytes()


class TestRoundedAfterTraining:
    """A float network in 8 bits."""

    def test_it_is_compared_and_written(self, in_floats: tuple[NetworkCheckpoint, Exported], tmp_path: Path) -> None:
        """It multiplies in 8 bits, takes at most 30 % of the bytes, carries the header and names most labels the same."""
        checkpoint, original = in_floats
        one = export_in_8_bits(checkpoint, sound(32), sound(32, 1), tmp_path / "model.int8.onnx")
        audit = audit_of(one.path.read_bytes(), (1, *SHAPE))
        assert not [finding.message for finding in audit.findings if finding.blocks]
        assert audit.macs_by_width["8x8"] >= CONV_AND_LINEAR
        assert one.path.stat().st_size <= 0.3 * original.path.stat().st_size
        assert header_of_export(read_model_file(one.path)) == checkpoint.header
        assert one.equal_labels >= 0.9
        assert one.largest_difference > module.TOLERANCE

    def test_weights_have_one_scale_per_channel_and_no_zero_point(
        self, in_floats: tuple[NetworkCheckpoint, Exported]
    ) -> None:
        """Every scale of a weight is a vector, and every zero point of one is 0."""
        graph = rounded_after_training(in_floats[1].path.read_bytes(), sound(4)).graph
        arrays = stored(graph)
        weights = [node.input for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in arrays]
        matrices = [names for names in weights if arrays[names[0]].ndim == 3]
        assert len(matrices) == 10
        for values, scale, zero_point in matrices:
            assert arrays[values].dtype == np.int8
            assert arrays[scale].shape == (len(arrays[values]),)
            assert not arrays[zero_point].any()

    def test_a_network_that_was_trained_with_rounding_is_not_rounded_again(
        self, checkpoint: NetworkCheckpoint, tmp_path: Path
    ) -> None:
        """The message says which target writes its integers."""
        with pytest.raises(InputError, match="was trained with rounding: --to onnx writes its integers"):
            export_in_8_bits(checkpoint, sound(2), sound(2), tmp_path / "model.onnx")

    def test_it_takes_clips_to_measure(self, in_floats: tuple[NetworkCheckpoint, Exported]) -> None:
        """Without clips there are no ranges."""
        with pytest.raises(InputError, match="no clips to measure"):
            rounded_after_training(in_floats[1].path.read_bytes(), sound(0))

    def test_it_is_measured_on_clips_of_the_training_split(self, tiny: Tiny) -> None:
        """Of the tiny data set 16 clips are trained on, and no other one is heard; asked for fewer, fewer."""
        dataset = tiny.prepare()
        header = checkpoint_of("tc_resnet8", tiny.manifest).header
        heard = calibration_clips(header, None, tiny.places.root, 256)
        assert len(heard) == len(dataset.split("train")) == 16
        assert len(few_clips(dataset, 5, "train")) == 5
        assert len(few_clips(dataset, 256)) == 32

    def test_without_the_data_set_it_says_so(self) -> None:
        """Synthetic sound would give the wrong ranges, so there is no stand-in."""
        header = checkpoint_of("tc_resnet8").header
        with pytest.raises(InputError, match="takes real clips, and speech_commands_v2_12 is not prepared here"):
            calibration_clips(header, None, Path("nowhere"), 8)
