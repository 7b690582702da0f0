"""What a budget check says: counts, findings and a verdict, as one record that prints as JSON.

Definitions. MACs are for one second of audio, and one multiply-accumulate counts 1. Parameters are stored numbers that
influence the output; shared storage counts once. The network is counted as it is given.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, StringConstraints, ValidationError

from kwsbench.errors import RefusedError

Widths = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,4}x[0-9]{1,4}$")]
"""Bits of what is multiplied, weight first: `8x32`."""


class Record(BaseModel):
    """A frozen record; every count in it is an exact integer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def from_sandbox(cls, answer: dict[str, Any], what: str) -> Self:
        """Returns a record that came out of the sandbox, where `what` may have had a hand in it.

        Raises:
            RefusedError: It is no such record.
        """
        try:
            return cls.model_validate(answer)
        except ValidationError as error:
            raise RefusedError(f"refused {what}: what the sandbox answered about it is no count") from error


class Count(Record):
    """Two counts of one model by one method.

    Attributes:
        params: Stored numbers.
        macs: Multiply-accumulates for one second of audio; None where they do not apply (trees) or are not known.
    """

    params: int
    macs: int | None


class Finding(Record):
    """One thing that a reader of the counts must know.

    Attributes:
        message: A sentence.
        blocks: The counts cannot be relied on: the verdict is "cannot certify".
    """

    message: str
    blocks: bool = False


class Convolution(Record):
    """The shape of a convolution's weight.

    Attributes:
        out_channels: Output channels.
        in_channels: Input channels, of all groups together.
        kernel: Elements of the kernel: its length in one dimension, its area in two.
        groups: Groups.
    """

    out_channels: NonNegativeInt
    in_channels: NonNegativeInt
    kernel: NonNegativeInt
    groups: PositiveInt = 1

    @property
    def weights(self) -> int:
        """Numbers in the weight, and MACs for one output position."""
        return self.out_channels * self.in_channels // self.groups * self.kernel

    @property
    def separable_weights(self) -> int:
        """The same for a depthwise convolution with this kernel and a pointwise one after it."""
        return self.in_channels * self.kernel + self.in_channels * self.out_channels


class Layer(Record):
    """The part of the counts that one layer has.

    Attributes:
        name: Module or node that owns the stored numbers (`blocks.0.conv`), or where it has none, what is executed.
        kind: The operator that costs most in it (`convolution`, `mm`, `Conv`).
        params: Stored numbers read here first.
        macs: Multiply-accumulates for the whole input.
        weight_bytes: Bytes of the stored numbers at their stored width.
        convolution: Shape of the convolution with a stored weight that costs most in it; None where there is none.
        thop_params: What thop counts for the module of that name; None where thop has no such module.
        thop_macs: The same for MACs.
    """

    name: str
    kind: str
    params: int
    macs: int
    weight_bytes: int
    convolution: Convolution | None = None
    thop_params: int | None = None
    thop_macs: int | None = None


class Audit(Record):
    """What was found by executing a network, or by walking through its graph.

    Attributes:
        params: Stored numbers that influence the output.
        macs: Multiply-accumulates for the whole input, the largest over all probes.
        weight_bytes: Bytes of the stored numbers at their stored width.
        batch_norm_statistics: Running means and variances, which fold into scale and shift and are not counted.
        macs_by_width: MACs by the widths of what is multiplied, weight first: `8x8`, `32x32` (bits); sums to `macs`.
        peak_activation_bytes: Most bytes of inputs, outputs and intermediate results that are needed at one time.
        receptive_field_frames: Frames (or samples) of the input that one value of the last convolution or local pooling
            sees, padding among them; None where there is neither over time.
        layers: In the order of execution.
        findings: What a reader must know.
    """

    params: int
    macs: int
    weight_bytes: int
    batch_norm_statistics: int
    macs_by_width: dict[Widths, int]
    peak_activation_bytes: int
    receptive_field_frames: int | None
    layers: tuple[Layer, ...]
    findings: tuple[Finding, ...]


class ThopCount(Record):
    """What thop counts for the whole input, in all and by module; `reason` says why it could not, and then it is None."""

    count: Count | None
    by_module: dict[str, tuple[int, int]] = {}
    reason: str = ""


class Verdict(StrEnum):
    """What the counts mean for the limits."""

    WITHIN = "within budget"
    OVER = "over budget"
    CANNOT_CERTIFY = "cannot certify"
    NO_LIMITS = "no limits given"


class Limits(Record):
    """The most that a model may have; None is no limit.

    Attributes:
        max_params: Stored numbers.
        max_macs: Multiply-accumulates for one second of audio.
        max_macs_above_8_bit: Those of them that multiply something wider than 8 bits.
        max_front_end_macs: Multiply-accumulates of the front-end for one second of audio.
        max_weight_bytes: Bytes of the stored numbers at their stored width.
        max_activation_bytes: Bytes of activations at one time.
        max_receptive_field_s: Seconds of audio that one value of the last convolution or local pooling hears.
        max_latency_ms: Median time for one input, on this processor.
    """

    max_params: int | None = None
    max_macs: int | None = None
    max_macs_above_8_bit: int | None = None
    max_front_end_macs: int | None = None
    max_weight_bytes: int | None = None
    max_activation_bytes: int | None = None
    max_receptive_field_s: float | None = None
    max_latency_ms: float | None = None


class Report(Record):
    """All that `check-budget` says of one model; its JSON is this record.

    Attributes:
        model: The file as it was named.
        sha256: SHA-256 of the bytes that were read.
        format: What the file is.
        params: The larger of the two counts, which the verdict uses.
        macs: The same for MACs, for one second of audio.
        weight_bytes: Bytes of the stored numbers at their stored width.
        thop: What thop counts; None where it cannot run, with the reason in `findings`.
        audit: What the audit counts; None where nothing could be executed (a state_dict without its architecture).
        front_end: The front-end's own cost for one second of audio; None where no front-end is known.
        limits: The limits that were applied.
        limits_from: Where they come from, in words.
        within_budget: Whether every limit is kept; False where that cannot be certified, None without limits.
        verdict: The same in words.
        macs_by_width: MACs by bit widths, weight first, per second of audio.
        peak_activation_bytes: Most bytes of activations needed at one time, with 1 clip.
        receptive_field_frames: Input frames that one value of the last convolution or local pooling sees.
        receptive_field_s: The same in seconds, where the front-end is known.
        latency_ms: Median time for one input, one thread, on this processor.
        tree_nodes: LightGBM: inner nodes.
        tree_leaves: LightGBM: leaves.
        comparisons_per_clip: LightGBM: comparisons for one clip at most, the sum of the depths of all trees.
        input_shape: The shape that it was counted on, batch first.
        input_seconds: How much audio that is.
        probes: The sounds or inputs that it was executed on; empty where nothing was.
        findings: What a reader must know.
        layers: Costs by layer, in the order of execution; MACs for one second of audio.
    """

    model: str
    sha256: str
    format: str
    params: int
    macs: int | None
    weight_bytes: int
    thop: Count | None
    audit: Count | None
    front_end: Count | None
    limits: Limits
    limits_from: str
    within_budget: bool | None
    verdict: Verdict
    macs_by_width: dict[Widths, int] = {}
    peak_activation_bytes: int | None = None
    receptive_field_frames: int | None = None
    receptive_field_s: float | None = None
    latency_ms: float | None = None
    tree_nodes: int | None = None
    tree_leaves: int | None = None
    comparisons_per_clip: int | None = None
    input_shape: tuple[int, ...] | None = None
    input_seconds: float | None = None
    probes: tuple[str, ...] = ()
    findings: tuple[Finding, ...]
    layers: tuple[Layer, ...]
