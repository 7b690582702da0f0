"""The shape of a convolution that was executed, where its weight is stored."""

from __future__ import annotations

import math

from kwsbench.budget.audit.inputs import Inputs
from kwsbench.budget.report import Convolution

CONVOLUTIONS = ("convolution", "_convolution", "convolution_overrideable")


def convolution_of(inputs: Inputs) -> Convolution | None:
    """Returns the shape of a convolution whose weight is made from stored numbers only; None for anything else."""
    if inputs.operator.short_name not in CONVOLUTIONS or inputs.arguments.get("transposed"):
        return None
    weight = next((one for one in inputs.prepared if one.argument == "weight" and one.record.roots), None)
    if weight is None:
        return None
    out_channels, channels_per_group, *kernel = weight.tensor.shape
    groups = inputs.arguments["groups"]
    return Convolution(
        out_channels=out_channels, in_channels=channels_per_group * groups, kernel=math.prod(kernel), groups=groups
    )
