"""Watches a network run: every operator passes here on its way to the processor.

This module needs PyTorch to define its class; only functions that already use PyTorch import it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from kwsbench.budget.aten_costs import draws_random, macs_of, moves
from kwsbench.budget.audit.lineage import Lineage, Record, Root, parts_of
from kwsbench.budget.audit.operators import Operator, operator_of, tensors_in
from kwsbench.budget.audit.places import Stack
from kwsbench.budget.audit.quantisers import Quantisers, bits_of
from kwsbench.budget.audit.reach import is_window, reach_after
from kwsbench.budget.audit.trace import TRUTH, Call, Number, Run, Telling
from kwsbench.checkpoint.stored import covered_elements, view_of

_BATCH_NORMS = (
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "_batch_norm_with_update",
    "batch_norm_with_update",
    "_batch_norm_no_update",
    "cudnn_batch_norm",
    "miopen_batch_norm",
)
_MATRIX_PRODUCTS = ("addmm", "mm", "bmm", "baddbmm", "addbmm", "linear", "matmul", "mv", "addmv")
_STATISTICS = ("running_mean", "running_var")
_NUMBERS = ("number", "float", "Optional[number]", "Optional[float]", "Tensor", "Optional[Tensor]")
_WAYS_OUT = frozenset(
    {
        "__array__",
        "__repr__",
        "__dlpack__",
        "__reduce_ex__",
        "_typed_storage",
        "apply_",
        "data_ptr",
        "map2_",
        "map_",
        "numpy",
        "storage",
        "tolist",
        "untyped_storage",
    }
)
_FEW = 16  # elements that a formula may make without a word
_SELECTING = frozenset({"index", "masked_select", "nonzero"})
_FILLING = frozenset({"index_put", "index_put_", "_index_put_impl_", "masked_scatter", "masked_scatter_"})
_PARTNERS = {"running_mean": "bias", "running_var": "weight"}
_CHOICES = {
    "__and__": ("self", "other"),
    "bitwise_and": ("self", "other"),
    "bucketize": ("self",),
    "embedding": ("indices",),
    "embedding_bag": ("indices",),
    "_embedding_bag": ("indices",),
    "_embedding_bag_forward_only": ("indices",),
    "gather": ("index",),
    "index": ("indices",),
    "index_select": ("index",),
    "searchsorted": ("self",),
    "take": ("index",),
    "where": ("condition",),
}
"""Operators that choose among numbers, and their arguments that say which."""


@dataclass(frozen=True)
class _Operand:
    argument: str
    tensor: Any
    record: Record


@dataclass(frozen=True)
class _Inputs:
    operator: Operator
    arguments: dict[str, Any]
    all: list[_Operand]
    read: list[_Operand]
    depends: bool
    draws: bool

    @property
    def prepared(self) -> list[_Operand]:
        """Those that are read and do not depend on the input."""
        return [one for one in self.read if not one.record.depends]


class Leaks(TorchFunctionMode):
    """Notes where values that depend on the input leave PyTorch: NumPy, lists, bare memory.

    Args:
        run: Where to note it.
        lineage: What depends on the input.
    """

    def __init__(self, run: Run, lineage: Lineage) -> None:
        super().__init__()
        self.run = run
        self.lineage = lineage

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Calls a function of PyTorch's Python side and looks at its name."""
        del types
        name = getattr(func, "__name__", "")
        if name in _WAYS_OUT and any(map(self._depends, tensors_in(args))):
            self.run.problems[f"values of the input leave PyTorch through {name}(), where nothing is counted"] = None
        return func(*args, **(kwargs or {}))

    def _depends(self, tensor: Any) -> bool:
        records = [self.lineage.known(part) for part in parts_of(tensor)]
        return any(record is not None and record.depends for record in records)


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records one run.

    Args:
        run: Where to record it.
        lineage: The storages that were seen so far.
        stack: Finds out who calls.
        quantisers: The modules that quantise activations.
        telling: What Python is told in place of what is there.
    """

    def __init__(
        self, run: Run, lineage: Lineage, stack: Stack, quantisers: Quantisers, telling: Telling = TRUTH
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run = run
        self.lineage = lineage
        self.stack = stack
        self.quantisers = quantisers
        self.telling = telling

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # The wrapper that keeps the compiler out of here would first load the compiler, which takes a second.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Executes an operator and records it; tensors of foreign classes unpack themselves first."""
        if any(map(_takes_over, types)):
            return NotImplemented
        with torch._C.DisableTorchFunction():  # noqa: SLF001 - what the audit itself looks at is no leak
            return self._watched(func, args, kwargs or {})

    def _watched(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        operator = operator_of(func)
        args = _with_tensors(operator, args)
        inputs = self._inputs(operator, args, kwargs)
        call = self._call(inputs)
        outputs = self._execute(func, inputs, args, kwargs)
        self._note_reads(inputs, call)
        results = self._results(inputs, outputs)
        self._count(inputs, call, args, kwargs, outputs)
        self.quantisers.note(self.stack, results, (one.record for one in inputs.read), call.macs)
        self._note_reach(inputs, outputs, results)
        self.run.calls.append(call)
        return outputs

    def _inputs(self, operator: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Inputs:
        bound = list(operator.bind(args, kwargs))
        operands = [
            _Operand(name, part, self._record(part))
            for name, _, value in bound
            for tensor in tensors_in(value)
            for part in self._parts(tensor)
        ]
        for one in operands if not operator.is_view else ():
            one.record.last_used = len(self.run.calls)
        blind = operator.overwritten
        read = [] if operator.reads_shapes_only else [one for one in operands if one.argument not in blind]
        arguments = {name: value for name, _, value in bound}
        hears = any(one.record.depends for one in read) or self._hears_told(arguments) or _starts(operator, read)
        return _Inputs(operator, arguments, operands, read, hears, draws_random(operator.name, args, kwargs))

    def _record(self, tensor: Any) -> Record:
        seen = len(self.lineage.newly_read)
        record = self.lineage.record_of(tensor)
        for root, digest in self.lineage.newly_read[seen:]:
            if root.place is None:
                root.place = self.stack.place()
            self.run.stored.append((len(self.run.calls), root, digest))
        return record

    def _parts(self, tensor: Any) -> list[Any]:
        parts = parts_of(tensor)
        if not parts:
            kind = f"{tensor.layout}".removeprefix("torch.")
            self.run.problems[f"a tensor on {tensor.device} in {kind} form, which the audit cannot look into"] = None
        return parts

    def _hears_told(self, arguments: dict[str, Any]) -> bool:
        return bool(self.run.decisions) and any(
            self._is_told(value) for value in arguments.values() if isinstance(value, float)
        )

    def _is_told(self, value: Any) -> bool:
        return isinstance(value, float) and not (value * 2).is_integer() and value in self.run.decisions

    def _call(self, inputs: _Inputs) -> Call:
        operator = inputs.operator
        numbers = tuple(self._number(value) for value in inputs.arguments.values())
        factors = tuple(
            float(value)
            for name, value in inputs.arguments.items()
            if isinstance(value, int | float)
            and not isinstance(value, bool)
            and operator.kinds[operator.arguments.index(name)] in _NUMBERS
            and operator.short_name not in {"arange", "_local_scalar_dense"}
            and not self._is_told(value)
        )
        sizes = _sizes(inputs) if not inputs.depends and not inputs.draws else ()
        key = hash((operator.overload, tuple(map(_identity, inputs.all))))
        place = self.stack.place() if factors or sizes else None
        return Call(operator.short_name, key, numbers, factors, sizes, place)

    def _number(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return "tensor"
        if isinstance(value, list | tuple):
            return tuple(self._number(one) for one in value)
        if isinstance(value, float):
            return Number(repr(value), is_told=value in self.run.decisions)
        return value if isinstance(value, int | str | torch.dtype) else str(value)

    def _execute(self, func: Any, inputs: _Inputs, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        makes_new_shapes = _makes_new_shapes(inputs)
        selects = makes_new_shapes or inputs.operator.short_name in _FILLING
        if self.telling.all_selected and selects and inputs.depends:
            args = tuple(map(_all_true, args))
        outputs = func(*args, **kwargs)
        is_state = self.telling.of_state and any(one.record.roots or one.record.generated for one in inputs.read)
        tells = makes_new_shapes or inputs.operator.short_name in {"_local_scalar_dense", "equal"}
        return self._tell(inputs, outputs) if tells and (inputs.depends or is_state) else outputs

    def _tell(self, inputs: _Inputs, outputs: Any) -> Any:
        position, tensors = len(self.run.decisions), list(tensors_in(outputs))
        name = inputs.operator.short_name
        if tensors and name not in _SELECTING:
            self.run.problems[f"how many values {name} gives depends on the input, and so does what follows"] = None
        if position < len(self.telling.values) and not (tensors and self.telling.all_selected):
            outputs = _pretend(outputs, self.telling.values[position])
            tensors = list(tensors_in(outputs))
        self.run.decisions.append(tuple(tuple(one.shape) for one in tensors) if tensors else outputs)
        return outputs

    def _note_reads(self, inputs: _Inputs, call: Call) -> None:
        operator = inputs.operator
        if operator.is_view or (operator.short_name == "equal" and not inputs.depends):
            return
        for one in inputs.read:
            root = one.record.root
            if root is None:
                continue
            if one.argument in _STATISTICS and self._folds(inputs, one):
                root.statistics.add(view_of(one.tensor))
                continue
            root.views.add(view_of(one.tensor))
            call.reads += (root,)

    def _folds(self, inputs: _Inputs, statistic: _Operand) -> bool:
        """Whether a running statistic can be folded into a stored scale or shift, which takes no other one."""
        if inputs.operator.short_name not in _BATCH_NORMS:
            return False
        if _trains(inputs):
            return True
        partner = next((one for one in inputs.read if one.argument == _PARTNERS[statistic.argument]), None)
        if partner is None or sum(map(_stored_numbers, partner.record.roots)) < statistic.tensor.numel():
            return False
        if covered_elements({view_of(partner.tensor)}) < statistic.tensor.numel():
            return False
        folded = (*partner.record.roots, view_of(partner.tensor) if partner.record.root is not None else None)
        into = (*statistic.record.roots, view_of(statistic.tensor))
        return self.lineage.folded.setdefault(folded, into) == into

    def _results(self, inputs: _Inputs, outputs: Any) -> list[Record]:
        prepared = inputs.prepared
        roots = _united(one.record.roots for one in prepared)
        scrambles = _scrambles(inputs)
        scrambled = scrambles or any(one.record.scrambled for one in inputs.read)
        unpacked = (
            roots if scrambles or _separates(inputs, outputs) else _united(one.record.unpacked_from for one in prepared)
        )
        generated = inputs.draws or any(one.record.generated for one in prepared)
        changed = [one for one in inputs.all if _is_written(inputs, one.argument)]
        for one in changed:
            self.lineage.rewrite(one.record, one.tensor)
        records = [self._made(part, inputs) for tensor in tensors_in(outputs) for part in self._parts(tensor)]
        results = list(dict.fromkeys([*(one.record for one in changed), *(one for one in records if one is not None)]))
        for record in results:
            record.depends = record.depends or inputs.depends
            record.roots = _united((record.roots, roots))
            record.unpacked_from = _united((record.unpacked_from, unpacked))
            record.scrambled, record.generated = record.scrambled or scrambled, record.generated or generated
        if inputs.draws:
            self._note_random(inputs, outputs)
        return results

    def _made(self, tensor: Any, inputs: _Inputs) -> Record | None:
        if self.lineage.known(tensor) is not None:
            return None
        record = self.lineage.add(tensor, depends=inputs.depends)
        record.born = record.last_used = len(self.run.calls)
        record.is_zero_state = inputs.operator.makes_zeros
        return record

    def _note_random(self, inputs: _Inputs, outputs: Any) -> None:
        self.run.draws = True
        if inputs.depends:
            name = inputs.operator.short_name
            self.run.remarks[f"{name} draws random numbers in evaluation mode; results differ from run to run"] = None
        else:
            self.run.generated += sum(tensor.numel() for tensor in tensors_in(outputs))

    def _count(self, inputs: _Inputs, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> None:
        if not inputs.depends:
            return
        self._note_prepared(inputs)
        self._note_looked_up(inputs)
        self._note_bits(inputs, outputs)
        macs = macs_of(inputs.operator.name, args, kwargs, outputs)
        if macs is None:
            where = self.stack.module()[0] or "the network"
            self.run.problems[f"{inputs.operator.overload} in {where} has no cost formula"] = None
        if macs:
            self._attribute(inputs, call, macs)
        elif not moves(inputs.operator.name):
            shown = [*tensors_in(outputs), *(one.tensor for one in inputs.read if one.record.depends)]
            self.run.free_steps += max((prod(one.shape) for one in shown), default=0)

    def _attribute(self, inputs: _Inputs, call: Call, macs: int) -> None:
        call.module, module = self.stack.module()
        call.macs = 0 if self.quantisers.dequantises(module, call.operator) else macs
        rooted = [one for one in inputs.prepared if one.record.roots]
        values = [one for one in inputs.read if one.record.depends]
        call.bits = max((bits_of(one.record, one.tensor) for one in values), default=32)
        if rooted:
            weight = max(rooted, key=lambda one: one.tensor.numel())
            call.root = max(weight.record.roots, key=_stored_elements)
        self._note_computed(inputs)

    def _note_prepared(self, inputs: _Inputs) -> None:
        for one in inputs.prepared:
            record = one.record
            for root in record.roots:
                root.reaches_input = True
            if record.unpacked_from and record.root is None and self.lineage.verifies:
                numbers = record.num_bytes // one.tensor.element_size()
                _source(record.unpacked_from, numbers).unpacked[record.checksum] = numbers

    def _note_looked_up(self, inputs: _Inputs) -> None:
        choosing = _CHOICES.get(inputs.operator.short_name, ())
        if not any(one.argument in choosing and one.record.depends for one in inputs.read):
            return
        for one in inputs.prepared:
            record = one.record
            numbers = min(one.tensor.numel(), record.num_bytes // one.tensor.element_size())
            more = numbers - sum(map(_stored_numbers, record.roots))
            is_table = record.root is None and not (record.generated or record.scrambled) and numbers > _FEW
            if is_table and more > 0 and one.tensor.unique().numel() > _FEW:
                self.run.looked_up[record.checksum] = more

    def _note_bits(self, inputs: _Inputs, outputs: Any) -> None:
        if inputs.operator.overload != "aten::view.dtype":
            return
        kinds = {one.dtype.is_floating_point or one.dtype.is_complex for one in (inputs.all[0].tensor, outputs)}
        if len(kinds) > 1:
            message = "values of the input are read as their bits, with which it multiplies by adding"
            self.run.problems[message] = None

    def _note_computed(self, inputs: _Inputs) -> None:
        for one in inputs.prepared:
            record = one.record
            numbers = min(one.tensor.numel(), record.num_bytes // one.tensor.element_size())
            if record.roots or record.generated or record.is_zero_state:
                continue
            if record.scrambled:
                self.run.scrambled[record.checksum] = numbers
            elif numbers > _FEW:
                self.run.computed[record.checksum] = numbers

    def _note_reach(self, inputs: _Inputs, outputs: Any, results: list[Record]) -> None:
        heard = [one.record.reach for one in inputs.read if one.record.reach is not None]
        if not heard:
            return
        operator = inputs.operator.short_name
        after = reach_after(operator, inputs.arguments, max(heard, key=lambda reach: reach.frames))
        for record in results:
            record.reach = after if record.reach is None else max(record.reach, after, key=lambda reach: reach.frames)
        first = next(tensors_in(outputs), None)
        if first is not None and is_window(operator, first):
            self.run.reach = max(filter(None, (self.run.reach, after)), key=lambda reach: reach.frames)


def _stored_elements(root: Root) -> float:
    return float(root.storage.nbytes() / root.bits)


def _stored_numbers(root: Root) -> int:
    numbers: int = 8 * root.storage.nbytes() // root.bits
    return numbers


def _source(roots: Sequence[Root], numbers: int) -> Root:
    # The smallest that holds as many numbers: a rounded bias comes from the bias, though the weight has set its scale.
    enough = [root for root in roots if _stored_numbers(root) >= numbers]
    return min(enough, key=_stored_numbers) if enough else max(roots, key=_stored_numbers)


def _sizes(inputs: _Inputs) -> tuple[int, ...]:
    """Returns the whole numbers in a call that makes or picks constants out of nothing that is stored."""
    if any(one.record.roots or one.record.is_zero_state for one in inputs.read):
        return ()
    flat = (
        part for value in inputs.arguments.values() for part in (value if isinstance(value, list | tuple) else [value])
    )
    return tuple(value for value in flat if isinstance(value, int) and not isinstance(value, bool))


def _united(groups: Iterable[tuple[Root, ...]]) -> tuple[Root, ...]:
    return tuple(dict.fromkeys(root for group in groups for root in group))


def _takes_over(kind: type) -> bool:
    return getattr(kind, "__torch_dispatch__", None) is not torch._C._disabled_torch_dispatch_impl  # noqa: SLF001


def _with_tensors(operator: Operator, args: tuple[Any, ...]) -> tuple[Any, ...]:
    # A number that a script keeps as a tensor arrives here as a plain number, which a few operators do not take.
    if torch._C._should_allow_numbers_as_tensors(operator.short_name):  # noqa: SLF001 - there is no public list
        return args
    return tuple(
        torch.scalar_tensor(value, dtype=torch.float64 if isinstance(value, float) else torch.int64)
        if kind == "Tensor" and isinstance(value, int | float)
        else value
        for kind, value in zip(operator.kinds, args, strict=False)
    )


def _identity(operand: _Operand) -> tuple[Any, ...]:
    tensor = operand.tensor
    return (
        operand.argument,
        operand.record.number,
        tensor.dtype,
        tuple(tensor.shape),
        tensor.stride(),
        tensor.storage_offset(),
    )


def _starts(operator: Operator, read: list[_Operand]) -> bool:
    # Zeros times weights: the first step of a recurrent layer. In use its state is not zero, so the step costs as any.
    if operator.short_name not in _MATRIX_PRODUCTS or not any(one.record.is_zero_state for one in read):
        return False
    return any(one.record.roots for one in read)


def _makes_new_shapes(inputs: _Inputs) -> bool:
    if inputs.operator.short_name != "index":
        return inputs.operator.makes_new_shapes
    return any(one.tensor.dtype in {torch.bool, torch.uint8} for one in inputs.read if one.argument == "indices")


def _pretend(outputs: Any, told: Any) -> Any:
    tensors = list(tensors_in(outputs))
    if not tensors:
        return told
    made = [one.new_zeros(shape) for one, shape in zip(tensors, told, strict=False)]
    return made[0] if isinstance(outputs, torch.Tensor) else type(outputs)(made)


def _all_true(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_all_true(one) for one in value]
    is_mask = isinstance(value, torch.Tensor) and value.dtype in {torch.bool, torch.uint8}
    return torch.ones_like(value) if is_mask else value


def _is_written(inputs: _Inputs, argument: str) -> bool:
    if argument in inputs.operator.written:
        return True
    return argument in _STATISTICS and inputs.operator.short_name in _BATCH_NORMS and _trains(inputs)


def _trains(inputs: _Inputs) -> bool:
    return bool(inputs.arguments.get("training") or inputs.arguments.get("train"))


def _scrambles(inputs: _Inputs) -> bool:
    if inputs.operator.short_name == "div":
        return inputs.arguments.get("rounding_mode") is not None
    return inputs.operator.scrambles


def _separates(inputs: _Inputs, outputs: Any) -> bool:
    if inputs.operator.short_name == "_to_copy":
        return not outputs.dtype.is_floating_point and inputs.all[0].tensor.dtype.is_floating_point
    return inputs.operator.separates
