"""What an operator multiplies values of the input with, and how often: stored numbers, look-up tables, formulas."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from kwsbench.budget.aten_costs import moves
from kwsbench.budget.audit.convolutions import convolution_of
from kwsbench.budget.audit.inputs import Inputs
from kwsbench.budget.audit.lineage import Lineage, Root
from kwsbench.budget.audit.operators import tensors_in
from kwsbench.budget.audit.quantisers import bits_of
from kwsbench.budget.audit.recording import Recording
from kwsbench.budget.audit.trace import Call, Run

_FEW = 16  # elements that a formula may make without a word
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


def note_products(recording: Recording, inputs: Inputs, call: Call, macs: int | None, outputs: Any) -> None:
    """Notes what an operator that was executed multiplies, and what values of the input meet in it.

    Args:
        recording: Where to note it.
        inputs: What it was given; without values of the input there is nothing to note.
        call: Its entry in the trace, which is filled in.
        macs: Its MACs; None where they are not known.
        outputs: What it gave.
    """
    if not inputs.depends:
        return
    _note_prepared(recording.lineage, inputs)
    _note_looked_up(recording.run, inputs)
    _note_bits(recording, inputs, outputs)
    if macs is None:
        where = recording.stack.module()[0] or "the network"
        recording.problem(f"{inputs.operator.overload} in {where} has no cost formula")
    if macs:
        _attribute(recording, inputs, call, macs)
        _note_computed(recording.run, inputs)
    elif not moves(inputs.operator.name):
        shown = [*tensors_in(outputs), *(one.tensor for one in inputs.heard)]
        recording.run.free_steps += max((prod(one.shape) for one in shown), default=0)


def _attribute(recording: Recording, inputs: Inputs, call: Call, macs: int) -> None:
    call.module, module = recording.stack.module()
    call.macs = 0 if recording.quantisers.dequantises(module, call.operator) else macs
    call.bits = max((bits_of(one.record, one.tensor) for one in inputs.heard), default=32)
    rooted = [one for one in inputs.prepared if one.record.roots]
    if rooted:
        weight = max(rooted, key=lambda one: one.tensor.numel())
        call.root = max(weight.record.roots, key=lambda root: root.stored_numbers)
        call.convolution = convolution_of(inputs)


def _note_prepared(lineage: Lineage, inputs: Inputs) -> None:
    for one in inputs.prepared:
        record = one.record
        for root in record.roots:
            root.reaches_input = True
        if record.unpacked_from and record.root is None and lineage.verifies:
            numbers = record.num_bytes // one.tensor.element_size()
            _source(record.unpacked_from, numbers).unpacked[record.checksum] = numbers


def _note_looked_up(run: Run, inputs: Inputs) -> None:
    choosing = _CHOICES.get(inputs.operator.short_name, ())
    if not any(one.argument in choosing for one in inputs.heard):
        return
    for one in inputs.prepared:
        record = one.record
        more = one.numbers - sum(root.stored_numbers for root in record.roots)
        is_table = record.root is None and not (record.generated or record.scrambled) and one.numbers > _FEW
        if is_table and more > 0 and one.tensor.unique().numel() > _FEW:
            run.looked_up[record.checksum] = more


def _note_bits(recording: Recording, inputs: Inputs, outputs: Any) -> None:
    if inputs.operator.overload != "aten::view.dtype":
        return
    kinds = {one.dtype.is_floating_point or one.dtype.is_complex for one in (inputs.all[0].tensor, outputs)}
    if len(kinds) > 1:
        recording.problem("values of the input are read as their bits, with which it multiplies by adding")


def _note_computed(run: Run, inputs: Inputs) -> None:
    for one in inputs.prepared:
        record = one.record
        if record.roots or record.generated or record.is_zero_state:
            continue
        if record.scrambled:
            run.scrambled[record.checksum] = one.numbers
        elif one.numbers > _FEW:
            run.computed[record.checksum] = one.numbers


def _source(roots: Sequence[Root], numbers: int) -> Root:
    # The smallest that holds as many numbers: a rounded bias comes from the bias, though the weight has set its scale.
    by_size = sorted(roots, key=lambda root: root.stored_numbers)
    return next((root for root in by_size if root.stored_numbers >= numbers), by_size[-1])
