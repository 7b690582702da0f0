"""What counts mean for limits: every row of the rule, and what may never happen whatever the figures are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwsbench.budget.report import Count, Finding, Limits, Report, Verdict
from kwsbench.budget.verdict import Costs, amount, explain, figures, judge, percent

BLOCKING = Finding(message="aten::magic has no formula", blocks=True)
NOTE = Finding(message="batch norm statistics are not counted")
KNOWN = Costs(
    thop=Count(params=90, macs=900),
    audit=Count(params=100, macs=1_000),
    weight_bytes=400,
    peak_activation_bytes=50,
    macs_above_8_bit=30,
    front_end_macs=70,
    receptive_field_s=0.25,
    latency_ms=0.5,
)
WEIGHTS_ONLY = Costs(thop=None, audit=None, stored_params=100, weight_bytes=400)
TREES = Costs(thop=None, audit=None, stored_params=100, weight_bytes=400, macs_apply=False)


def _verdict(costs: Costs, *findings: Finding, **limits: float) -> Verdict:
    return judge(costs, findings, Limits(**limits)).verdict


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, Verdict.NO_LIMITS),
        ({"max_params": 100}, Verdict.WITHIN),
        ({"max_params": 99}, Verdict.OVER),
        ({"max_macs": 1_000}, Verdict.WITHIN),
        ({"max_macs": 999}, Verdict.OVER),
        ({"max_weight_bytes": 400}, Verdict.WITHIN),
        ({"max_weight_bytes": 399}, Verdict.OVER),
        ({"max_activation_bytes": 50}, Verdict.WITHIN),
        ({"max_activation_bytes": 49}, Verdict.OVER),
        ({"max_macs_above_8_bit": 30}, Verdict.WITHIN),
        ({"max_macs_above_8_bit": 29}, Verdict.OVER),
        ({"max_front_end_macs": 70}, Verdict.WITHIN),
        ({"max_front_end_macs": 69}, Verdict.OVER),
        ({"max_receptive_field_s": 0.25}, Verdict.WITHIN),
        ({"max_receptive_field_s": 0.24}, Verdict.OVER),
        ({"max_latency_ms": 0.5}, Verdict.WITHIN),
        ({"max_latency_ms": 0.49}, Verdict.OVER),
        ({"max_params": 99, "max_macs": 2_000}, Verdict.OVER),
        ({"max_params": 100, "max_macs": 1_000, "max_weight_bytes": 400, "max_latency_ms": 1}, Verdict.WITHIN),
    ],
)
def test_a_limit_is_kept_up_to_itself(limits: dict[str, float], expected: Verdict) -> None:
    """A figure may be as large as its limit and no larger, and one limit that is broken is enough."""
    assert _verdict(KNOWN, NOTE, **limits) == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, Verdict.NO_LIMITS),
        ({"max_params": 100}, Verdict.CANNOT_CERTIFY),
        ({"max_params": 99}, Verdict.OVER),
        ({"max_latency_ms": 9}, Verdict.CANNOT_CERTIFY),
    ],
)
def test_a_blocking_finding_leaves_only_what_is_certain(limits: dict[str, float], expected: Verdict) -> None:
    """With a blocking finding a model is over where what is known is too much already, and else not certified."""
    assert _verdict(KNOWN, NOTE, BLOCKING, **limits) == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, Verdict.NO_LIMITS),
        ({"max_params": 100}, Verdict.CANNOT_CERTIFY),
        ({"max_params": 99}, Verdict.OVER),
        ({"max_macs": 10**9}, Verdict.CANNOT_CERTIFY),
        ({"max_weight_bytes": 400}, Verdict.CANNOT_CERTIFY),
    ],
)
def test_weights_without_an_architecture_are_never_certified(limits: dict[str, float], expected: Verdict) -> None:
    """A file of weights may be over, and is never within: what an architecture adds to it is not known."""
    assert _verdict(WEIGHTS_ONLY, **limits) == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_macs": 1}, Verdict.WITHIN),
        ({"max_params": 100, "max_macs": 1}, Verdict.WITHIN),
        ({"max_params": 99, "max_macs": 1}, Verdict.OVER),
        ({"max_latency_ms": 1}, Verdict.CANNOT_CERTIFY),
    ],
)
def test_macs_do_not_apply_to_trees(limits: dict[str, float], expected: Verdict) -> None:
    """Trees keep any limit on MACs, and every other limit has to be kept as by a network."""
    assert _verdict(TREES, **limits) == expected


@pytest.mark.parametrize(
    "missing",
    ["weight_bytes", "peak_activation_bytes", "macs_above_8_bit", "front_end_macs", "receptive_field_s", "latency_ms"],
)
def test_a_limit_on_what_is_not_known_is_not_certified(missing: str) -> None:
    """A figure that could not be measured keeps no limit, and troubles nobody without one."""
    limit = {"peak_activation_bytes": "max_activation_bytes"}.get(missing, f"max_{missing}")
    costs = KNOWN.model_copy(update={missing: None})
    assert _verdict(costs, **{limit: 10**9}) == Verdict.CANNOT_CERTIFY
    assert _verdict(costs, max_params=100) == Verdict.WITHIN


def test_an_audit_without_macs_is_not_certified() -> None:
    """Where the audit knows no MACs and thop none either, a limit on MACs is open."""
    costs = KNOWN.model_copy(update={"thop": None, "audit": Count(params=1, macs=None)})
    assert _verdict(costs, max_macs=10**9) == Verdict.CANNOT_CERTIFY


@pytest.mark.parametrize(
    ("thop", "audit", "expected"),
    [
        (Count(params=1, macs=9), Count(params=2, macs=8), (2, 9)),
        (Count(params=3, macs=7), Count(params=2, macs=8), (3, 8)),
        (None, Count(params=2, macs=8), (2, 8)),
        (None, None, (0, None)),
        (Count(params=3, macs=None), Count(params=2, macs=8), (3, 8)),
    ],
)
def test_the_larger_count_decides(thop: Count | None, audit: Count | None, expected: tuple[int, int | None]) -> None:
    """Parameters and MACs are each the larger of what the two ways of counting give."""
    judgement = judge(Costs(thop=thop, audit=audit), (), Limits())
    assert (judgement.params, judgement.macs) == expected


@pytest.mark.parametrize(
    ("verdict", "within"), [({}, None), ({"max_params": 100}, True), ({"max_params": 1}, False)], ids=str
)
def test_within_budget_is_what_the_verdict_says(verdict: dict[str, int], within: bool | None) -> None:  # noqa: FBT001
    """`within_budget` is true only for a model that is within, false where it is not certified, null without limits."""
    assert judge(KNOWN, (), Limits(**verdict)).within_budget is within
    assert judge(KNOWN, (BLOCKING,), Limits(max_params=100)).within_budget is False


_NUMBERS = st.integers(0, 20)
_MAYBE = st.none() | _NUMBERS
_COUNTS = st.builds(Count, params=_NUMBERS, macs=_MAYBE)
_COSTS = st.builds(
    Costs,
    thop=st.none() | _COUNTS,
    audit=st.none() | _COUNTS,
    stored_params=_NUMBERS,
    weight_bytes=_MAYBE,
    peak_activation_bytes=_MAYBE,
    macs_above_8_bit=_MAYBE,
    front_end_macs=_MAYBE,
    receptive_field_s=st.none() | st.floats(0, 20),
    latency_ms=st.none() | st.floats(0, 20),
    macs_apply=st.booleans(),
)
_LIMITS = st.builds(Limits, **dict.fromkeys(Limits.model_fields, st.none() | st.integers(1, 20)))
_FINDINGS = st.lists(st.sampled_from([NOTE, BLOCKING]), max_size=3)


def _raised(costs: Costs, by: int) -> Costs:
    def more(count: Count | None) -> Count | None:
        return count and Count(params=count.params + by, macs=None if count.macs is None else count.macs + by)

    return costs.model_copy(update={"thop": more(costs.thop), "audit": more(costs.audit)})


@given(_COSTS, _FINDINGS, _LIMITS, _NUMBERS)
def test_a_larger_count_never_helps(costs: Costs, findings: list[Finding], limits: Limits, by: int) -> None:
    """A model that is over stays over however much is added, and one that is not within never gets within."""
    before, after = (judge(one, findings, limits).verdict for one in (costs, _raised(costs, by)))
    assert before != Verdict.OVER or after == Verdict.OVER
    assert before == Verdict.WITHIN or after != Verdict.WITHIN


@given(_COSTS, _FINDINGS, _LIMITS)
def test_a_blocking_finding_is_never_within(costs: Costs, findings: list[Finding], limits: Limits) -> None:
    """Whatever the figures are, a blocking finding rules out that a model is within, and helps none that is over."""
    without = judge(costs, findings, limits)
    blocked = judge(costs, [*findings, BLOCKING], limits)
    assert blocked.within_budget is not True
    assert (blocked.verdict == Verdict.OVER) == (without.verdict == Verdict.OVER)


@given(_COSTS, _FINDINGS, _LIMITS)
def test_the_verdict_is_that_of_the_rule(costs: Costs, findings: list[Finding], limits: Limits) -> None:
    """A second, plain reading of the rule comes to the same verdict for any figures."""
    params = max([costs.stored_params, *(count.params for count in (costs.thop, costs.audit) if count)])
    macs = [count.macs for count in (costs.thop, costs.audit) if count and count.macs is not None]
    pairs = [
        (params, limits.max_params, False),
        (max(macs) if macs else None, limits.max_macs, not costs.macs_apply),
        (costs.weight_bytes, limits.max_weight_bytes, False),
        (costs.peak_activation_bytes, limits.max_activation_bytes, False),
        (costs.macs_above_8_bit, limits.max_macs_above_8_bit, not costs.macs_apply),
        (costs.front_end_macs, limits.max_front_end_macs, False),
        (costs.receptive_field_s, limits.max_receptive_field_s, not costs.macs_apply),
        (costs.latency_ms, limits.max_latency_ms, False),
    ]
    limited = [(value, limit, spared) for value, limit, spared in pairs if limit is not None]
    unknown = any(value is None and not spared for value, _, spared in limited)
    if not limited:
        expected = Verdict.NO_LIMITS
    elif any(value is not None and value > limit for value, limit, _ in limited):
        expected = Verdict.OVER
    elif BLOCKING in findings or unknown or (costs.audit is None and costs.macs_apply):
        expected = Verdict.CANNOT_CERTIFY
    else:
        expected = Verdict.WITHIN
    assert judge(costs, findings, limits).verdict == expected


def _report(costs: Costs, *findings: Finding, **limits: float) -> Report:
    judgement = judge(costs, findings, Limits(**limits))
    return Report(
        model="model.pt",
        sha256="0" * 64,
        format="kwsbench",
        params=judgement.params,
        macs=judgement.macs,
        weight_bytes=costs.weight_bytes or 0,
        thop=costs.thop,
        audit=costs.audit,
        front_end=None if costs.front_end_macs is None else Count(params=1, macs=costs.front_end_macs),
        limits=Limits(**limits),
        limits_from="the command line (max_params)",
        within_budget=judgement.within_budget,
        verdict=judgement.verdict,
        peak_activation_bytes=costs.peak_activation_bytes,
        macs_by_width={} if costs.macs_above_8_bit is None else {"8x8": 970, "8x32": costs.macs_above_8_bit},
        receptive_field_s=costs.receptive_field_s,
        latency_ms=costs.latency_ms,
        tree_leaves=None if costs.macs_apply else 1,
        findings=findings,
        layers=(),
    )


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (_report(KNOWN, max_params=200), ["100 of 200 parameters."]),
        (_report(KNOWN, max_params=80), ["100 parameters, 20 (25.0 %) over 80."]),
        (_report(KNOWN, BLOCKING, max_params=80), ["over 80; a finding below can only add to that."]),
        (_report(KNOWN, BLOCKING, max_params=200), ["a finding below leaves the counts in doubt."]),
        (_report(KNOWN, BLOCKING, BLOCKING, max_params=200), ["each of 2 findings below leaves"]),
        (_report(WEIGHTS_ONLY, max_macs=5), ["there is no audit", "the number of MACs per second is not known"]),
        (_report(TREES, max_macs=5, max_params=200), ["100 of 200 parameters; MACs per second do not apply."]),
        (_report(KNOWN), ["Name limits with --max-params"]),
        (_report(KNOWN, BLOCKING), ["Name limits", "The counts cannot be relied on: a finding below says why."]),
        (_report(KNOWN, max_latency_ms=0.4), ["0.500 ms for one input, 0.100 (25.0 %) over 0.400."]),
    ],
)
def test_the_verdict_is_explained(report: Report, says: list[str]) -> None:
    """The sentences say what is over by how much, what is not known, and where the limits are from."""
    said = " ".join(explain(report))
    for part in says:
        assert part in said
    assert ("Limits from the command line (max_params)." in said) == (report.verdict != Verdict.NO_LIMITS)


def test_the_report_keeps_the_verdict_of_its_costs() -> None:
    """The figures that a report shows beside its limits are those that were judged."""
    from kwsbench.budget.verdict import figures_of

    for costs in (KNOWN, WEIGHTS_ONLY, TREES):
        report = _report(costs, max_params=100, max_macs=10)
        assert figures_of(report) == figures(costs, report.limits)


def test_figures_are_read_with_separators() -> None:
    """Counts have separators, latencies few digits, and a small share is not shown as nothing."""
    assert [amount(value) for value in (1_234_567, 12.34, None)] == ["1,234,567", "12.3", "not known"]
    assert [percent(share) for share in (0.0, 0.0001, 0.5, 12.0)] == ["0.0 %", "under 0.1 %", "50.0 %", "1,200.0 %"]
