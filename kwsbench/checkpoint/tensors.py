"""Tensors from checkpoints of strangers: read without running anything, and held against what is stored."""

from __future__ import annotations

import io
import pickle
import warnings
from dataclasses import dataclass
from typing import Any

from kwsbench.checkpoint.archives import open_archive
from kwsbench.checkpoint.model_file import Format, ModelFile
from kwsbench.checkpoint.pickle_calls import TensorClaim
from kwsbench.checkpoint.pickles import scan_archive
from kwsbench.checkpoint.safetensors_header import check_safetensors
from kwsbench.checkpoint.state_dicts import Keys, find_weights
from kwsbench.errors import InputError
from kwsbench.extras import import_extra, import_torch

_PICKLED = frozenset({Format.KWSBENCH, Format.STATE_DICT, Format.LIGHTNING})
_TORCH_ERRORS = (
    *(pickle.UnpicklingError, ValueError, TypeError, LookupError, AttributeError, AssertionError, EOFError),
    *(RuntimeError, OverflowError, MemoryError, OSError),
)


@dataclass(frozen=True)
class StoredTensors:
    """The weights in a file.

    Attributes:
        tensors: On the CPU, without gradients, by name. A tensor that repeats stored numbers stays such a view.
        metadata: Plain values that the file holds beside them: the header of a kwsbench checkpoint, epoch and
            hyperparameters of a Lightning checkpoint, the texts in the header of a safetensors file.
        plain_numbers: Numbers among the weights that are no tensors.
        left_out: Names of entries that are neither, such as an optimiser's state.
    """

    tensors: dict[str, Any]
    metadata: dict[str, Any]
    plain_numbers: int = 0
    left_out: tuple[str, ...] = ()


def read_tensors(model: ModelFile) -> StoredTensors:
    """Reads the tensors of a kwsbench checkpoint, a state_dict, a Lightning checkpoint or a safetensors file.

    Raises:
        InputError: It is damaged, holds no tensors or some of a kind that is not read, or a library is missing.
        RefusedError: Loading it would run code or take memory that the file does not account for.
    """
    if model.format is Format.SAFETENSORS:
        return _from_safetensors(model)
    if model.format not in _PICKLED:
        raise InputError(f"{model.path} is a program ({model.format}), and its tensors are not read on their own")
    weights = find_weights(scan_archive(open_archive(model.data, model.path)), model.path)
    loaded = _load(model)
    tensors = {name: _tensor_at(loaded, keys, claim, model) for name, (keys, claim) in weights.claims.items()}
    return StoredTensors(tensors, weights.metadata, weights.plain_numbers, weights.left_out)


def _load(model: ModelFile) -> Any:
    """Loads what the scan has let pass; `weights_only` is the second lock, not the first."""
    torch = import_torch()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(model.data), map_location="cpu", weights_only=True, mmap=False)
    except _TORCH_ERRORS as error:
        reason = str(error).partition("\n")[0].partition("  (")[0][:200] or type(error).__name__
        raise InputError(f"PyTorch cannot read {model.path}: {reason}; save it again with torch.save") from error


def _tensor_at(loaded: Any, keys: Keys, claim: TensorClaim, model: ModelFile) -> Any:
    tensor = loaded
    for key in keys:
        tensor = tensor[key]
    found = (str(tensor.dtype), tensor.storage_offset(), tuple(tensor.size()), tuple(tensor.stride()))
    expected = (f"torch.{claim.dtype}", claim.offset, claim.size, claim.stride)
    if (*found, tensor.untyped_storage().nbytes()) != (*expected, claim.storage.num_bytes):
        raise InputError(f"cannot read {model.path}: PyTorch reads {keys[-1]!r} in it as something else than is stored")
    return tensor.detach()


def _from_safetensors(model: ModelFile) -> StoredTensors:
    metadata = check_safetensors(model.data, model.path)
    import_torch()
    safetensors = import_extra("safetensors", "torch")
    try:
        return StoredTensors(import_extra("safetensors.torch", "torch").load(model.data), dict(metadata))
    except (safetensors.SafetensorError, *_TORCH_ERRORS) as error:
        raise InputError(f"safetensors cannot read {model.path}: {error}; save it again with safetensors") from error
