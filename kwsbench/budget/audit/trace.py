"""What one run of a network under watch was: its calls in order, the numbers in them, and what it read."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kwsbench.budget.audit.lineage import Root
from kwsbench.budget.reach import Reach
from kwsbench.budget.report import Convolution


@dataclass(frozen=True)
class Telling:
    """What Python is told in place of what is there, so that a network decides otherwise.

    Attributes:
        values: Decisions in order, as far as they go; what follows is told truly.
        of_state: What Python asks of the network's own state, or of chance, is a decision, too.
        all_selected: Whatever is selected from the input by its values is told to be all of it.
    """

    values: Sequence[Any] = ()
    of_state: bool = False
    all_selected: bool = False


TRUTH = Telling()
"""Nothing but what is there."""


@dataclass(frozen=True, slots=True)
class Number:
    """A Python number that an operator was given.

    Attributes:
        text: The number.
        is_told: It is a value of the input that Python was told, as it was.
    """

    text: str
    is_told: bool

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and (self.text == other.text or (self.is_told and other.is_told))

    def __hash__(self) -> int:
        return 0  # numbers that were told are equal whatever they are


@dataclass(slots=True)
class Call:
    """One executed operator.

    Attributes:
        operator: Its name without namespace.
        key: Hash of the operator and of which parts of which storages it was given.
        numbers: Every argument that is no tensor.
        factors: Python numbers that take part in arithmetic.
        sizes: Whole numbers from which it makes constants: limits of ranges, places, sizes.
        place: The code that called it, outside PyTorch.
        macs: Multiply-accumulates; 0 where nothing depends on the input.
        root: The largest stored numbers that it works with.
        module: Path of the innermost module that was running, where that is known.
        bits: Width of the values that are multiplied by the stored numbers, or by each other.
        reads: The stored numbers that it reads themselves.
        convolution: Its shape, where it is a convolution with a stored weight.
    """

    operator: str
    key: int
    numbers: tuple[Any, ...]
    factors: tuple[float, ...] = ()
    sizes: tuple[int, ...] = ()
    place: Hashable = None
    macs: int = 0
    root: Root | None = None
    module: str = ""
    bits: int = 32
    reads: tuple[Root, ...] = ()
    convolution: Convolution | None = None


@dataclass
class Run:
    """One run of a network on one probe.

    Attributes:
        probe: Its name.
        calls: Every operator, in order.
        stored: Stored numbers in the order in which they were first read: at which call, which, and what they held.
        decisions: Values of the input, or shapes that depend on them, that Python was told.
        output: The first tensor that it returned; None where it returned none.
        output_digest: Hash of all that it returned.
        output_depends: Whether what it returned depends on the input.
        problems: Sentences on what makes the counts unreliable.
        remarks: Sentences on what a reader should know.
        draws: Whether it draws random numbers.
        generated: Numbers drawn from a random generator.
        scrambled: Numbers made by bit arithmetic from nothing, by a hash of what they are.
        computed: Numbers computed by a formula that are multiplied with the input, likewise.
        looked_up: Numbers computed from nothing, or from fewer, among which the input chooses, likewise.
        free_steps: Values of the input that are added, compared, looked up: what costs no MACs.
        carried: Shapes of what it read of an earlier run.
        peak_bytes: Most bytes of activations alive at one time.
        reach: The largest part of the input that one value of a convolution or pooling sees.
    """

    probe: str
    calls: list[Call] = field(default_factory=list)
    stored: list[tuple[int, Root, bytes]] = field(default_factory=list)
    decisions: list[Any] = field(default_factory=list)
    output: Any = None
    output_digest: bytes = b""
    output_depends: bool = False
    problems: dict[str, None] = field(default_factory=dict)
    remarks: dict[str, None] = field(default_factory=dict)
    draws: bool = False
    generated: int = 0
    scrambled: dict[int, int] = field(default_factory=dict)
    computed: dict[int, int] = field(default_factory=dict)
    looked_up: dict[int, int] = field(default_factory=dict)
    free_steps: int = 0
    carried: set[tuple[int, ...]] = field(default_factory=set)
    peak_bytes: int = 0
    reach: Reach | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the whole run."""
        return sum(call.macs for call in self.calls)
