"""Networks from model files: a baseline with its weights here, and strangers' code in the sandbox only."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kwsbench.baseline import Baseline, TorchBaseline, build_network, configure_from, load_baseline_of_model
from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.model_file import Format, ModelFile, read_model_file
from kwsbench.checkpoint.network import NetworkCheckpoint, load_network
from kwsbench.checkpoint.tensors import read_tensors
from kwsbench.errors import InputError, Problem, ProblemLog
from kwsbench.extras import import_torch
from kwsbench.manifest import Manifest
from kwsbench.runtime.definitions import Definition, build
from kwsbench.sandbox import require_inside

_WRAPPERS = ("module.", "model.", "net.", "network.", "_orig_mod.")
_MOST_WRAPPERS = 4
_OF_STRANGERS = (Format.TORCHSCRIPT, Format.EXPORTED_PROGRAM)


@dataclass(frozen=True)
class NetworkSource:
    """What a torch network is made from.

    Attributes:
        model: The model file.
        definition: The architecture of a file that holds weights only.
        baselines: Folder of the baselines that a kwsbench checkpoint may name; None for the shipped ones.
    """

    model: ModelFile
    definition: Definition | None = None
    baselines: Path | None = None


def request_of(source: NetworkSource) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Returns what the sandbox needs to make the network: a JSON record and files."""
    definition, called = source.definition, str(source.model.path)
    if definition is None:
        return {"model": called}, {"model": source.model.data}
    request = {"model": called, "file": definition.file, "name": definition.name}
    return request, {"model": source.model.data, "definition": definition.source.encode()}


def source_of(request: Mapping[str, Any], files: Mapping[str, Path]) -> NetworkSource:
    """Returns in the sandbox what `request_of` was given outside."""
    model = replace(read_model_file(files["model"]), path=Path(request["model"]))  # as it is called outside
    if "definition" not in files:
        return NetworkSource(model)
    text = files["definition"].read_text(encoding="utf-8")
    return NetworkSource(model, Definition(request["file"], text, request["name"]))


def network_of(source: NetworkSource) -> Any:
    """Makes the network, in evaluation mode.

    Raises:
        RefusedError: It runs code of its author, and this is not the sandbox.
        InputError: It cannot be made, or its weights do not fit it.
    """
    if source.definition is not None:
        network = build(source.definition)
        load_weights(network, read_tensors(source.model).tensors, source.model.path.name)
    elif source.model.format == Format.KWSBENCH:
        network = network_of_checkpoint(load_network(source.model), source.baselines)
    else:
        network = _network_of_stranger(source.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return network.eval() if source.model.format != Format.EXPORTED_PROGRAM else network


def network_of_checkpoint(checkpoint: NetworkCheckpoint, baselines: Path | None = None) -> Any:
    """Makes the network of a kwsbench checkpoint from the baseline that it names, with its weights.

    Raises:
        RefusedError: It names something that is no bare name of a baseline.
        InputError: The baseline is not there or is another one by now.
    """
    header = checkpoint.header
    baseline = load_baseline_of_model(header.baseline, baselines)
    network = _built(baseline, configure_from(baseline, header.config), header)
    load_weights(network, checkpoint.state_dict, f"the checkpoint of {header.baseline}")
    return network


def untrained_checkpoint(
    baseline: TorchBaseline, manifest: Manifest, config: Any = None, seed: int = 0
) -> NetworkCheckpoint:
    """Returns a checkpoint of a baseline with the weights that it starts from, for the labels and clips of a manifest.

    Args:
        baseline: The baseline.
        manifest: The benchmark; its front-end is the baseline's default.
        config: A `Config` of the baseline; its defaults where None.
        seed: Seed of the weights.
    """
    config = baseline.Config() if config is None else config
    front_end = baseline.front_end(config, manifest.front_end)
    header = ModelHeader.of_training(
        manifest, baseline=baseline.__name__, config=config, front_end=front_end, seed=seed
    )
    return NetworkCheckpoint(header, untrained_network(baseline, config, header).state_dict())


def untrained_network(baseline: TorchBaseline, config: Any, header: ModelHeader) -> Any:
    """Makes the network that a header describes, with the weights that its seed gives.

    Args:
        baseline: Its baseline.
        config: Its configuration, an instance of the baseline's `Config`.
        header: What it is.
    """
    import_torch().manual_seed(header.seed)
    return _built(baseline, config, header)


def _built(baseline: Baseline, config: Any, header: ModelHeader) -> Any:
    return build_network(baseline, config, len(header.labels), *input_shape_of(header))


def input_shape_of(header: ModelHeader) -> tuple[int, int]:
    """Returns the shape of one input of a model: coefficients, frames."""
    return header.front_end.shape(header.clip_samples)


def load_weights(network: Any, tensors: Mapping[str, Any], what: str) -> None:
    """Puts tensors into a network, which must have just these; wrappers' prefixes such as `model.` are taken off.

    Raises:
        InputError: Tensors are missing, too many or of other shapes; all are named.
    """
    expected = network.state_dict()
    tensors = _unwrapped(tensors, expected)
    problems = _misfits(tensors, expected)
    if problems:
        raise InputError(f"the weights of {what} do not fit the architecture", problems)
    network.load_state_dict(dict(tensors))


def _unwrapped(tensors: Mapping[str, Any], expected: Mapping[str, Any]) -> Mapping[str, Any]:
    """Takes wrappers' prefixes off, one after the other, until names fit."""
    bare = tensors
    for _ in range(_MOST_WRAPPERS):
        prefix = next((one for one in _WRAPPERS if any(name.startswith(one) for name in bare)), None)
        if prefix is None or set(bare) & set(expected):
            break
        bare = {name.removeprefix(prefix): one for name, one in bare.items() if name.startswith(prefix)}
    return bare if set(bare) & set(expected) else tensors


def _misfits(tensors: Mapping[str, Any], expected: Mapping[str, Any]) -> list[Problem]:
    log = ProblemLog()
    for name in (*expected, *(name for name in tensors if name not in expected)):
        found, wanted = (_described(one[name]) if name in one else "nothing" for one in (tensors, expected))
        if found != wanted:
            log.add(f"{found == 'nothing'} {wanted == 'nothing'}", Problem(name, found, wanted))
    return log.problems()


def _described(tensor: Any) -> str:
    kind = "quantised" if tensor.is_quantized else "complex" if tensor.is_complex() else ""
    return f"shape {tuple(tensor.shape)}{kind and ', '}{kind}"


def _network_of_stranger(model: ModelFile) -> Any:
    require_inside()
    if model.format not in _OF_STRANGERS:
        raise InputError(f"{model.path.name} ({model.format}) holds no network that torch runs")
    torch = import_torch()
    with _failures_told(model):
        if model.format == Format.TORCHSCRIPT:
            return torch.jit.load(io.BytesIO(model.data), map_location="cpu")
        return torch.export.load(io.BytesIO(model.data)).module()


@contextmanager
def _failures_told(model: ModelFile) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # torch.jit is deprecated, and teams still use it; others say what is wrong
        try:
            yield
        except Exception as error:
            reasons = [str(error) or type(error).__name__, *(str(one.message) for one in caught[-1:])]
            text = "; ".join(reason.strip().partition("\n")[0] for reason in reasons)
            raise InputError(f"torch cannot read {model.path.name} as {model.format}: {text}") from error
