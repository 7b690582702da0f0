"""To which layer a node or a stored tensor of an ONNX graph belongs, told from the names that exporters give."""

from __future__ import annotations

import re
from itertools import zip_longest

from kwsbench.budget.onnx.graph import Step

_MADE_BY_EXPORTER = re.compile(r"onnx::|val_\d|/|_?\d+$|.*Constant_|.*_output_\d")
_SUFFIX = re.compile(r"(_quantized|_scale|_zero_point|_DequantizeLinear_Output)+$")


def layer_of_tensor(name: str) -> str | None:
    """Returns the module that owns a stored tensor, or None where its name does not say.

    >>> layer_of_tensor("blocks.0.conv.weight_quantized")
    'blocks.0.conv'
    """
    plain = _SUFFIX.sub("", name)
    return None if _MADE_BY_EXPORTER.match(plain) or "." not in plain else plain.rpartition(".")[0]


def layer_of_step(step: Step) -> str:
    """Returns the module that a node was written in, or the node's own name where that does not say.

    >>> layer_of_step(Step("Conv", "/blocks/blocks.0/conv/Conv", (), ()))
    'blocks.0.conv'
    """
    parts = step.name.split("/")[1:-1] if step.name.startswith("/") else []
    pairs = zip_longest(parts, parts[1:], fillvalue="")
    places = [part for part, inner in pairs if not inner.startswith(f"{part}.")]
    return ".".join(places) or step.name.strip("/")
