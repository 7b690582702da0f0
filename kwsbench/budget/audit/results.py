"""What an operator has made: the histories of its results follow from those of what it was given."""

from __future__ import annotations

from typing import Any

from kwsbench.budget.audit.inputs import Inputs, united
from kwsbench.budget.audit.lineage import Record
from kwsbench.budget.audit.operators import tensors_in
from kwsbench.budget.audit.recording import Recording


def results_of(recording: Recording, inputs: Inputs, outputs: Any) -> list[Record]:
    """Returns the histories of everything that an operator has made or changed, each once, brought up to date."""
    prepared = inputs.prepared
    roots = united(one.record.roots for one in prepared)
    scrambles = inputs.scrambles
    scrambled = scrambles or any(one.record.scrambled for one in inputs.read)
    taken_apart = scrambles or inputs.separates(outputs)
    unpacked = roots if taken_apart else united(one.record.unpacked_from for one in prepared)
    generated = inputs.draws or any(one.record.generated for one in prepared)
    results = _changed_and_made(recording, inputs, outputs)
    for record in results:
        record.depends = record.depends or inputs.depends
        record.roots = united((record.roots, roots))
        record.unpacked_from = united((record.unpacked_from, unpacked))
        record.scrambled, record.generated = record.scrambled or scrambled, record.generated or generated
    if inputs.draws:
        _note_random(recording, inputs, outputs)
    return results


def _changed_and_made(recording: Recording, inputs: Inputs, outputs: Any) -> list[Record]:
    changed = [one for one in inputs.all if inputs.writes(one.argument)]
    for one in changed:
        recording.lineage.rewrite(one.record, one.tensor)
    parts = [part for tensor in tensors_in(outputs) for part in recording.parts_of(tensor)]
    made = [_made(recording, part, inputs) for part in parts]
    return list(dict.fromkeys([*(one.record for one in changed), *(one for one in made if one is not None)]))


def _made(recording: Recording, tensor: Any, inputs: Inputs) -> Record | None:
    if recording.lineage.known(tensor) is not None:
        return None
    record = recording.lineage.add(tensor, depends=inputs.depends)
    record.born = record.last_used = len(recording.run.calls)
    record.is_zero_state = inputs.operator.makes_zeros
    return record


def _note_random(recording: Recording, inputs: Inputs, outputs: Any) -> None:
    run = recording.run
    run.draws = True
    if inputs.depends:
        name = inputs.operator.short_name
        run.remarks[f"{name} draws random numbers in evaluation mode; results differ from run to run"] = None
    else:
        run.generated += sum(tensor.numel() for tensor in tensors_in(outputs))
