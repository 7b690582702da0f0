"""Pairs of models with the same weights, also where their channels were put in another order or changed signs.

A tensor is known by its absolute values in ascending order, which no order of channels and no change of signs changes.
Two tensors are equal where these are, and near where they differ by less than a tenth of what two independent draws of
as many numbers would: about 1 / sqrt(size) of their norm. Small and constant tensors say nothing and do not count.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.checkpoint.archives import open_archive
from kwsbench.checkpoint.model_file import Format, ModelFile, read_model_file
from kwsbench.errors import KwsbenchError

_FEWEST = 32  # numbers in a tensor that is compared
_NEAR = 0.1
_LEAST_SHARE = 0.5
_MOST_NUMBERS = 1 << 24
_FLOAT_BYTES = 4
_STORED = re.compile(r"(?:[^/]+/)?data/(?:[0-9]+|(?:weights|constants)/[a-z]+_[0-9]+)")
_PROGRAMS = frozenset({Format.TORCHSCRIPT, Format.EXPORTED_PROGRAM})
_TENSORS = frozenset({Format.KWSBENCH, Format.STATE_DICT, Format.LIGHTNING, Format.SAFETENSORS})


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of an entry's model.

    Attributes:
        key: Team and entry.
        team: The team.
        sha256: Of the file.
        tensors: Ascending absolute values of each tensor that is compared, the largest tensor first.
        hashes: A hash of each of them.
    """

    key: str
    team: str
    sha256: str
    tensors: tuple[NDArray[np.float64], ...]
    hashes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Numbers in all tensors that are compared."""
        return sum(map(len, self.tensors))


@dataclass(frozen=True)
class SharedWeights:
    """Two models that have weights in common.

    Attributes:
        first: An entry.
        second: Another one, of another team.
        same_file: The files are the same, byte by byte.
        share: Part of the numbers of the smaller model that lie in equal tensors, in [0, 1].
        near_share: The same for equal and near ones.
    """

    first: str
    second: str
    same_file: bool
    share: float
    near_share: float


def weights_of(key: str, team: str, model: Path) -> Weights | None:
    """Reads the weights of a model without running it; None where its format does not let it, or it is damaged."""
    try:
        file = read_model_file(model)
        arrays = _arrays(file)
    except (KwsbenchError, ValueError, OSError, MemoryError):
        return None
    ordered = sorted((found for array in arrays if (found := _ascending(array)) is not None), key=len, reverse=True)
    hashes = tuple(hashlib.sha256(values.astype("<f4").tobytes()).hexdigest() for values in ordered)
    return Weights(key, team, file.sha256, tuple(ordered), hashes)


def _arrays(file: ModelFile) -> list[NDArray[Any]]:
    if file.format in _TENSORS:
        from kwsbench.checkpoint.tensors import read_tensors

        return [tensor.detach().double().numpy() for tensor in read_tensors(file).tensors.values() if _is_real(tensor)]
    if file.format in _PROGRAMS:
        return _stored_arrays(file)
    if file.format is Format.ONNX:
        return _onnx_arrays(file)
    return _tree_arrays(file) if file.format is Format.LIGHTGBM else []


def _is_real(tensor: Any) -> bool:
    return not tensor.is_complex() and not tensor.is_quantized and tensor.numel() <= _MOST_NUMBERS


def _stored_arrays(file: ModelFile) -> list[NDArray[Any]]:
    """What a program stores, as float32: each piece is a tensor, mostly, and nothing is run to read it."""
    archive = open_archive(file.data, file.path)
    names = (name for name, entry in archive.entries.items() if entry.num_bytes <= _FLOAT_BYTES * _MOST_NUMBERS)
    pieces = (archive.read(name) for name in names if _STORED.fullmatch(name))
    return [np.frombuffer(piece, "<f4", len(piece) // _FLOAT_BYTES) for piece in pieces]


def _onnx_arrays(file: ModelFile) -> list[NDArray[Any]]:
    from kwsbench.checkpoint.onnx_file import load_graph
    from kwsbench.extras import import_extra

    helper = import_extra("onnx", "onnx").numpy_helper
    graph = load_graph(file.data, str(file.path)).graph
    constants = [attribute.t for node in graph.node if node.op_type == "Constant" for attribute in node.attribute]
    arrays = [helper.to_array(tensor) for tensor in (*graph.initializer, *(one for one in constants if one.dims))]
    return [array for array in arrays if array.dtype.kind in "iuf"]


def _tree_arrays(file: ModelFile) -> list[NDArray[Any]]:
    """Thresholds and leaves of all trees of a LightGBM model."""
    text = file.data.decode("utf-8", errors="replace")
    found: Mapping[str, list[float]] = {"threshold": [], "leaf_value": []}
    for name, values in re.findall(r"^(threshold|leaf_value)=([-+0-9.eE ]{0,1000000})$", text, re.MULTILINE):
        found[name] += map(float, values.split())
    return [np.array(values) for values in found.values()]


def _ascending(array: NDArray[Any]) -> NDArray[np.float64] | None:
    """Absolute values in ascending order; None where they say nothing."""
    values = np.sort(np.abs(array.astype(np.float64)).ravel())
    tells = values.size >= _FEWEST and np.isfinite(values).all() and len(np.unique(values)) >= _FEWEST
    return values if tells else None


def shared_weights(models: Sequence[Weights]) -> list[SharedWeights]:
    """Returns the pairs of models of different teams that are one file, or share half of the smaller one's numbers."""
    candidates: set[tuple[int, int]] = set()
    for places in _together(models).values():
        candidates |= {(a, b) for a in places for b in places if a < b and models[a].team != models[b].team}
    found = [_compared(models[a], models[b]) for a, b in sorted(candidates)]
    return [pair for pair in found if pair.same_file or pair.near_share >= _LEAST_SHARE]


def _together(models: Sequence[Weights]) -> Mapping[object, list[int]]:
    """Models that have a file, a tensor, or the size of their largest tensor in common."""
    groups: dict[object, list[int]] = defaultdict(list)
    for place, model in enumerate(models):
        sizes = {len(model.tensors[0])} if model.tensors else set()
        for mark in {model.sha256, *model.hashes, *sizes}:
            groups[mark].append(place)
    return groups


def _compared(one: Weights, other: Weights) -> SharedWeights:
    smaller, larger = sorted((one, other), key=lambda model: (model.size, model.key))
    left = list(range(len(larger.tensors)))
    equal = near = 0
    for values, content in zip(smaller.tensors, smaller.hashes, strict=True):
        match = next((place for place in left if larger.hashes[place] == content), None)
        equal += len(values) if match is not None else 0
        if match is None:
            match = next((place for place in left if _are_near(values, larger.tensors[place])), None)
            near += len(values) if match is not None else 0
        if match is not None:
            left.remove(match)
    total = max(smaller.size, 1)
    first, second = sorted((one.key, other.key))
    return SharedWeights(first, second, one.sha256 == other.sha256, equal / total, (equal + near) / total)


def _are_near(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    if len(one) != len(other):
        return False
    return bool(np.linalg.norm(one - other) < _NEAR / np.sqrt(len(one)) * np.linalg.norm(one))
