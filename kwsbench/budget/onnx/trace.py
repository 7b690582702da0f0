"""Where the numbers that are stored in an ONNX graph go: which steps read them as data, and unpacked into what.

A stored tensor is followed through everything that does not depend on the model's input (it can be computed once), and
through look-ups in it, up to the steps that use it. An input that only says how something is shaped (the target of a
Reshape, the axes of a sum) is structure and no data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kwsbench.budget.onnx.costs import FREE
from kwsbench.budget.onnx.graph import INTEGERS, Graph, Step, Stored
from kwsbench.budget.onnx.propagation import Propagation
from kwsbench.checkpoint.onnx_file import names
from kwsbench.errors import RefusedError

Streams = dict[str, int]
"""How many numbers one stored number has become, by the step that unpacked it; an empty name for none."""

_TOOL: Streams = {"=": 1}
"""The stream of a mask, a divisor or a shift: it takes other numbers apart and is not taken apart itself."""

MOST_STRUCTURE = 64
"""A tensor of more numbers than that is data wherever it is read: no shape or list of axes is so long."""

_STRUCTURE = {
    **dict.fromkeys(names("Shape Size EyeLike RandomNormalLike RandomUniformLike ConstantOfShape"), (0,)),
    **dict.fromkeys(names("BlackmanWindow HammingWindow HannWindow"), (0,)),
    **dict.fromkeys(names("CumProd CumSum Expand OneHot Reshape ReverseSequence Split Squeeze Tile TopK Trilu"), (1,)),
    **dict.fromkeys(names("Unsqueeze Upsample"), (1,)),
    **dict.fromkeys(names("ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin"), (1,)),
    **dict.fromkeys(names("ReduceProd ReduceSum ReduceSumSquare"), (1,)),
    **dict.fromkeys(names("DFT Dropout"), (1, 2)),
    **dict.fromkeys(names("Pad STFT"), (1, 3)),
    **dict.fromkeys(names("GRU LSTM RNN"), (4,)),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "MelWeightMatrix": (0, 1, 2, 3, 4),
}
MOST_FOLLOWED = 1_000_000
"""Of how many stored tensors, added up over all steps, it is known what they become; a network needs a few thousand."""

_FAR_FEWER = 4
_LOOKING_UP = names("Gather GatherElements GatherND Slice Reshape Transpose Squeeze Unsqueeze Flatten Identity Cast")
_UNPACKING = names("BitCast BitShift BitwiseAnd Ceil Floor Mod QuantizeLinear Round")
_SCALES = {"QuantizeLinear": (1, 2), "DequantizeLinear": (1, 2)}
_STATES = {"GRU": (5,), "LSTM": (5, 6), "RNN": (5,)}
_RANDOM = names("RandomNormal RandomNormalLike RandomUniform RandomUniformLike")

OUTPUT = Step("", "the output", (), ())
"""Stands for the graph's outputs where they are read."""


@dataclass(frozen=True)
class Use:
    """One step that reads stored numbers as data, at one of its inputs."""

    step: Step
    position: int


@dataclass
class Trail:
    """What becomes of one stored tensor.

    Attributes:
        stored: The tensor.
        uses: Who reads it as data, in the order of the steps.
        readers: Operators that read it at first hand.
        streams: What it is unpacked into.
        is_structure: Whether it also says how something is shaped.
        is_random: Whether it is no tensor of the file, but made from a seed.
    """

    stored: Stored
    uses: list[Use] = field(default_factory=list)
    readers: set[str] = field(default_factory=set)
    streams: Streams = field(default_factory=dict)
    is_structure: bool = False
    is_random: bool = False

    @property
    def elements(self) -> int:
        """How many numbers it counts: those stored, or those that they are unpacked into."""
        most = max(self.stored.value.bits, 1)
        return self.stored.elements * min(self.parts, most)

    @property
    def parts(self) -> int:
        """How many numbers each stored number is taken apart into; 1 for none."""
        return max(sum(many for stream, many in self.streams.items() if stream not in _TOOL), 1)


@dataclass(frozen=True)
class Trace:
    """Where everything that is stored goes.

    Attributes:
        trails: What becomes of each stored tensor, by its name.
        computed: Elements of each value that is read as data and computed from far fewer stored numbers, by its name.
    """

    trails: Mapping[str, Trail]
    computed: Mapping[str, int]


def trace(graph: Graph, found: Propagation) -> Trace:
    """Follows every stored tensor of a graph."""
    tracer = _Tracer(found, {name: Trail(stored) for name, stored in graph.stored.items()})
    for step in graph.steps:
        tracer.follow(step)
    for name in graph.outputs:
        tracer.use(Use(OUTPUT, 0), name)
    return Trace(tracer.trails, tracer.computed)


class _Tracer:
    def __init__(self, found: Propagation, trails: dict[str, Trail]) -> None:
        self.trails = trails
        self.computed: dict[str, int] = {}
        self._calculated: set[str] = set()
        self._found = found
        self._followed = 0
        self._origins: dict[str, dict[str, Streams]] = {name: {name: {"": 1}} for name in trails}

    def follow(self, step: Step) -> None:
        """Takes one step."""
        carried: dict[str, Streams] = {}
        for position, name in enumerate(step.inputs):
            if name in self.trails:
                self.trails[name].readers.add(step.op)
            if self._is_structure(step, position):
                self._mark_structure(name)
            elif self._carries(step, position):
                _merge(carried, self._origins.get(name, {}))
            else:
                self.use(Use(step, position), name)
            if position in _SCALES.get(step.op, ()):
                self.use(Use(step, position), name)
        if step.op in _RANDOM:
            carried = self._made_from_a_seed(step)
        elif self._unpacks(step):
            carried = self._unpacked(step, carried)
        self._tire(step, sum(map(len, carried.values())))
        self._origins |= {name: carried for name in step.outputs if name}
        if step.op not in FREE or self._calculated.intersection(step.inputs):
            self._calculated.update(step.outputs)

    def use(self, use: Use, name: str) -> None:
        """Notes that a step reads a value as data."""
        self._tire(use.step, len(self._origins.get(name, {})))
        self._note_computed(name)
        for source, streams in self._origins.get(name, {}).items():
            trail = self.trails[source]
            trail.uses.append(use)
            trail.streams |= {stream: max(many, trail.streams.get(stream, 0)) for stream, many in streams.items()}

    def _tire(self, step: Step, tensors: int) -> None:
        self._followed += tensors
        if self._followed > MOST_FOLLOWED:
            raise RefusedError(
                f"node {step.name!r} ({step.op}) mixes more stored tensors than can be followed; export the model again"
                " with its constants folded"
            )

    def _note_computed(self, name: str) -> None:
        value = self._found.values.get(name)
        if name in self._calculated and value is not None and not value.depends and value.elements > MOST_STRUCTURE:
            stored = sum(self.trails[source].stored.elements for source in self._origins.get(name, {}))
            if _FAR_FEWER * stored < value.elements:
                self.computed[name] = value.elements

    def _mark_structure(self, name: str) -> None:
        for source in self._origins.get(name, {}):
            self.trails[source].is_structure = True

    def _is_structure(self, step: Step, position: int) -> bool:
        name = step.inputs[position]
        value = self._found.values.get(name)
        if value is None or value.depends:
            return False
        if position in _STATES.get(step.op, ()):  # the state that a recurrent layer begins with by itself
            return value.numbers is not None and not value.numbers.any()
        if step.op == "Gather" and position == 1:
            return value.elements == 1
        return value.elements <= MOST_STRUCTURE and position in _STRUCTURE.get(step.op, ())

    def _carries(self, step: Step, position: int) -> bool:
        outputs = [self._found.values.get(name) for name in step.outputs if name]
        if outputs and all(value is not None and not value.depends for value in outputs):
            return True
        return position == self._packed(step) and (step.op in _LOOKING_UP or self._unpacks(step))

    def _unpacks(self, step: Step) -> bool:
        value = self._found.values.get(step.inputs[0]) if step.inputs and step.inputs[0] else None
        is_integer = value is not None and value.data_type in INTEGERS
        return step.op in _UNPACKING or (is_integer and step.op == "Div")

    def _packed(self, step: Step) -> int:
        # Which input is taken apart; a mask may stand on either side.
        if step.op != "BitwiseAnd":
            return 0
        return max(range(len(step.inputs)), key=lambda position: self._elements(step.inputs[position]))

    def _unpacked(self, step: Step, carried: dict[str, Streams]) -> dict[str, Streams]:
        name = step.inputs[self._packed(step)]
        growth = max(-(-self._elements(step.outputs[0]) // max(self._elements(name), 1)), 1)
        packed = {source: many for source, many in self._origins.get(name, {}).items() if many != _TOOL}
        made = {source: {step.name: growth * max(many.values())} for source, many in packed.items()}
        return dict.fromkeys(carried, _TOOL) | made

    def _elements(self, name: str) -> int:
        value = self._found.values.get(name)
        return 1 if value is None else value.elements

    def _made_from_a_seed(self, step: Step) -> dict[str, Streams]:
        value = self._found.values.get(step.outputs[0])
        if value is None:
            return {}
        stored = Stored(step.outputs[0], value, value.elements, value.num_bytes)
        self.trails[stored.name] = Trail(stored, is_random=True)
        return {stored.name: {"": 1}}


def _merge(into: dict[str, Streams], origins: Mapping[str, Streams]) -> None:
    for source, streams in origins.items():
        known = into.setdefault(source, {})
        into[source] = known | {stream: max(many, known.get(stream, 0)) for stream, many in streams.items()}
