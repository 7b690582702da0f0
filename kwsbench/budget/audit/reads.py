"""Which stored numbers an operator reads; running statistics of a batch norm may fold into its scale and shift."""

from __future__ import annotations

from kwsbench.budget.audit.inputs import BATCH_NORMS, STATISTICS, Inputs, Operand
from kwsbench.budget.audit.lineage import Lineage
from kwsbench.budget.audit.trace import Call
from kwsbench.checkpoint.stored import covered_elements, view_of

_PARTNERS = {"running_mean": "bias", "running_var": "weight"}


def note_reads(lineage: Lineage, inputs: Inputs, call: Call) -> None:
    """Notes what an operator reads of the stored numbers themselves; a view reads nothing."""
    operator = inputs.operator
    if operator.is_view or (operator.short_name == "equal" and not inputs.depends):
        return
    for one in inputs.read:
        root = one.record.root
        if root is None:
            continue
        if one.argument in STATISTICS and _folds(lineage, inputs, one):
            root.statistics.add(view_of(one.tensor))
            continue
        root.views.add(view_of(one.tensor))
        call.reads += (root,)


def _folds(lineage: Lineage, inputs: Inputs, statistic: Operand) -> bool:
    """Whether a running statistic can be folded into a stored scale or shift, which takes no other one."""
    if inputs.operator.short_name not in BATCH_NORMS:
        return False
    if inputs.trains:
        return True
    partner = next((one for one in inputs.read if one.argument == _PARTNERS[statistic.argument]), None)
    if partner is None or sum(root.stored_numbers for root in partner.record.roots) < statistic.tensor.numel():
        return False
    if covered_elements({view_of(partner.tensor)}) < statistic.tensor.numel():
        return False
    folded = (*partner.record.roots, view_of(partner.tensor) if partner.record.root is not None else None)
    into = (*statistic.record.roots, view_of(statistic.tensor))
    return lineage.folded.setdefault(folded, into) == into
