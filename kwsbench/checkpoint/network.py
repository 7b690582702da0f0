"""Networks on disk: what they are, how they were made, and their weights, in one file that PyTorch reads safely.

It is what `torch.save` makes of one dict: the fields of the header, as JSON knows them, and `state_dict`.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.header_reading import parse_header
from kwsbench.checkpoint.model_file import Format, ModelFile
from kwsbench.checkpoint.tensors import read_tensors
from kwsbench.errors import InputError
from kwsbench.extras import import_torch
from kwsbench.files import replacing

_WEIGHTS = "state_dict"


@dataclass(frozen=True)
class NetworkCheckpoint:
    """A trained network.

    Attributes:
        header: What it is and how it was made.
        state_dict: Its weights: torch tensors by name.
    """

    header: ModelHeader
    state_dict: dict[str, Any]


def save_network(path: Path, checkpoint: NetworkCheckpoint) -> None:
    """Writes a network whole or not at all; equal checkpoints give equal bytes, whatever the file is called.

    Raises:
        InputError: The file cannot be written, or PyTorch is not installed.
    """
    content = {**json.loads(checkpoint.header.model_dump_json()), _WEIGHTS: _portable(checkpoint.state_dict)}
    packed = io.BytesIO()  # torch.save writes the name of a file into it
    import_torch().save(content, packed)
    with replacing(path) as temporary:
        temporary.write_bytes(packed.getbuffer())


def load_network(model: ModelFile) -> NetworkCheckpoint:
    """Reads a network.

    Raises:
        InputError: The file is no network that kwsbench trained, is damaged, or its header does not fit.
        RefusedError: It could do harm.
    """
    if model.format is not Format.KWSBENCH:
        raise InputError(
            f"{model.path} is a model without kwsbench's header ({model.format}): its labels and front-end are not known; train it with `kwsbench train`"
        )
    stored = read_tensors(model)
    if stored.left_out or stored.plain_numbers:
        raise InputError(f"{model.path} is not what kwsbench writes: it holds more than a header and weights")
    header = parse_header(model.path, _as_json(model.path, stored.metadata), ModelHeader)
    return NetworkCheckpoint(header, stored.tensors)


def _as_json(where: Path, fields: dict[str, Any]) -> str:
    try:
        return json.dumps(fields)
    except (TypeError, ValueError) as error:
        raise InputError(f"the header of {where} is not one that this kwsbench reads: {error}") from error


def _portable(state_dict: dict[str, Any]) -> dict[str, Any]:
    """Returns the tensors on the CPU, each with just its own numbers; weights that are tied stay tied.

    Pickle writes an object that it has met before as a reference: names are copied, so that it never depends on the
    program whether two equal texts are one.
    """
    copies: dict[Any, Any] = {}
    portable = {}
    for name, tensor in state_dict.items():
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.size(), tensor.stride())
        known = copies.setdefault((*place, tensor.dtype), tensor.detach().cpu().contiguous().clone())
        portable[name.encode().decode()] = known
    return portable
