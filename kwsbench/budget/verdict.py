"""What counts mean for limits: the larger count decides, what is not known is not certified, and why in words.

1. A known figure over its limit: over budget. What is known of a model is a lower bound of what it costs, so nothing
   that is not known can mend that.
2. Else a finding that blocks, no audit, or a limit on a figure that is not known: cannot certify.
3. Else within budget. MACs do not apply to trees, which compare and are counted without an audit: a limit on MACs is
   then no obstacle, and the comparisons are reported beside it.
Without any limit there is nothing to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kwsbench.budget.report import Count, Finding, Limits, Record, Report, Verdict

Number = int | float

_UNITS = {
    "params": "parameters",
    "macs": "MACs per second",
    "weight_bytes": "bytes of weights",
    "peak_activation_bytes": "bytes of activations",
    "macs_above_8_bit": "MACs per second above 8 bit",
    "front_end_macs": "MACs per second of the front-end",
    "receptive_field_s": "seconds of receptive field",
    "latency_ms": "ms for one input",
}
"""Every figure that can have a limit, and what it is a number of."""
_LIMIT_OF = {"peak_activation_bytes": "max_activation_bytes"}
_OF_NETWORKS = frozenset({"macs", "macs_above_8_bit", "receptive_field_s"})


class Costs(Record):
    """What is known of a model, for one second of audio.

    Attributes:
        thop: What thop counts; None where it cannot run.
        audit: What the audit counts; None where nothing could be executed.
        stored_params: Numbers in the file, where that is all that is known; 0 else.
        weight_bytes: Bytes of the stored numbers; None where not known, as in the fields below.
        peak_activation_bytes: Most bytes of activations needed at one time.
        macs_above_8_bit: MACs that multiply something wider than 8 bits.
        front_end_macs: MACs of the front-end.
        receptive_field_s: Audio that one value of the last convolution or local pooling hears.
        latency_ms: Median time for one input.
        macs_apply: MACs are a measure of this model; False for trees, which compare.
    """

    thop: Count | None
    audit: Count | None
    stored_params: int = 0
    weight_bytes: int | None = None
    peak_activation_bytes: int | None = None
    macs_above_8_bit: int | None = None
    front_end_macs: int | None = None
    receptive_field_s: float | None = None
    latency_ms: float | None = None
    macs_apply: bool = True

    @property
    def params(self) -> int:
        """The largest count of stored numbers."""
        return max(self.stored_params, *(count.params for count in self._counts), 0)

    @property
    def macs(self) -> int | None:
        """The largest count of MACs; None where they do not apply or are not known."""
        return max((count.macs for count in self._counts if count.macs is not None), default=None)

    @property
    def lacks_audit(self) -> bool:
        """Whether this model had to be executed and was not."""
        return self.audit is None and self.macs_apply

    @property
    def _counts(self) -> list[Count]:
        return [count for count in (self.thop, self.audit) if count is not None]


class Figure(Record):
    """One figure of a model beside its limit.

    Attributes:
        name: Field of `Report` that holds it.
        unit: What it is a number of, with a space before it where figures are read.
        value: The figure; None where it is not known or does not apply.
        limit: The most that it may be; None without a limit.
        applies: Whether this model has such a figure at all.
    """

    name: str
    unit: str
    value: Number | None
    limit: Number | None
    applies: bool = True

    @property
    def over(self) -> bool:
        """Whether it is known to break its limit."""
        return self.value is not None and self.limit is not None and self.value > self.limit

    @property
    def open(self) -> bool:
        """Whether there is a limit and it is not known if it is kept."""
        return self.limit is not None and self.value is None and self.applies

    @property
    def headroom(self) -> Number | None:
        """What is left below the limit, negative over it; None where either is missing."""
        return None if self.value is None or self.limit is None else self.limit - self.value

    @property
    def share(self) -> float | None:
        """The headroom as a share of the limit."""
        return None if self.headroom is None or self.limit is None else self.headroom / self.limit

    def text(self, value: Number | None) -> str:
        """Returns a value of this figure with its unit, `1,795 parameters`."""
        return f"{amount(value)} {self.unit}"


class Judgement(Record):
    """What counts mean for limits; the fields are those of `Report`."""

    params: int
    macs: int | None
    verdict: Verdict
    within_budget: bool | None


def judge(costs: Costs, findings: Iterable[Finding], limits: Limits) -> Judgement:
    """Returns the figures that decide, and the verdict by the rules above."""
    verdict = _verdict(costs, any(finding.blocks for finding in findings), figures(costs, limits))
    within = None if verdict is Verdict.NO_LIMITS else verdict is Verdict.WITHIN
    return Judgement(params=costs.params, macs=costs.macs, verdict=verdict, within_budget=within)


def _verdict(costs: Costs, blocked: bool, found: tuple[Figure, ...]) -> Verdict:  # noqa: FBT001 - private
    if all(figure.limit is None for figure in found):
        return Verdict.NO_LIMITS
    if any(figure.over for figure in found):
        return Verdict.OVER
    if blocked or costs.lacks_audit or any(figure.open for figure in found):
        return Verdict.CANNOT_CERTIFY
    return Verdict.WITHIN


def figures(costs: Costs, limits: Limits) -> tuple[Figure, ...]:
    """Returns every figure that can have a limit, beside it."""
    return tuple(
        Figure(
            name=name,
            unit=unit,
            value=getattr(costs, name),
            limit=getattr(limits, _LIMIT_OF.get(name, f"max_{name}")),
            applies=costs.macs_apply or name not in _OF_NETWORKS,
        )
        for name, unit in _UNITS.items()
    )


def costs_of(report: Report) -> Costs:
    """Returns what a report knows of its model."""
    return Costs(
        thop=report.thop,
        audit=report.audit,
        stored_params=report.params,
        weight_bytes=report.weight_bytes,
        peak_activation_bytes=report.peak_activation_bytes,
        macs_above_8_bit=above_8_bit(report.audit, report.macs_by_width),
        front_end_macs=report.front_end and report.front_end.macs,
        receptive_field_s=report.receptive_field_s,
        latency_ms=report.latency_ms,
        macs_apply=report.tree_leaves is None,
    )


def above_8_bit(audit: Count | None, macs_by_width: Mapping[str, int]) -> int | None:
    """Returns the MACs of which a factor is wider than 8 bits, None where they are not known.

    Args:
        audit: What the audit counted.
        macs_by_width: The same MACs by the widths of both factors, as in `Audit.macs_by_width`.

    >>> above_8_bit(Count(params=0, macs=113), {"8x8": 100, "4x8": 10, "8x32": 2, "32x32": 1})
    3
    """
    if audit is None or (audit.macs and not macs_by_width):
        return None
    return sum(macs for width, macs in macs_by_width.items() if max(map(int, width.split("x"))) > 8)


def figures_of(report: Report) -> tuple[Figure, ...]:
    """Returns the figures of a report beside its limits."""
    return figures(costs_of(report), report.limits)


def explain(report: Report) -> tuple[str, ...]:
    """Returns why a report has its verdict: what is over, what is not known, where the limits are from."""
    found = [figure for figure in figures_of(report) if figure.limit is not None]
    blocking = sum(finding.blocks for finding in report.findings)
    if report.verdict is Verdict.NO_LIMITS:
        return _without_limits(blocking)
    reasons = {
        Verdict.OVER: [*map(_too_much, (figure for figure in found if figure.over)), *_besides(blocking)],
        Verdict.CANNOT_CERTIFY: _not_certified(report, found, blocking),
        Verdict.WITHIN: [_kept(figure) for figure in found],
    }[report.verdict]
    return f"{'; '.join(reasons)}.", f"Limits from {report.limits_from}."


def _without_limits(blocking: int) -> tuple[str, ...]:
    sentence = "Name limits with --max-params and --max-macs, --manifest or --competition."
    doubt = f"The counts cannot be relied on: {_findings(blocking)} below says why." if blocking else ""
    return tuple(filter(None, (sentence, doubt)))


def _too_much(figure: Figure) -> str:
    excess = -(figure.headroom or 0)
    return (
        f"{figure.text(figure.value)}, {amount(excess)} ({percent(-(figure.share or 0))}) over {amount(figure.limit)}"
    )


def _besides(blocking: int) -> list[str]:
    return [f"{_findings(blocking)} below can only add to that"] if blocking else []


def _not_certified(report: Report, found: list[Figure], blocking: int) -> list[str]:
    reasons = [f"{_findings(blocking)} below leaves the counts in doubt"] if blocking else []
    if costs_of(report).lacks_audit:
        reasons.append("nothing could be executed, so that there is no audit")
    return reasons + [f"the number of {figure.unit} is not known" for figure in found if figure.open]


def _kept(figure: Figure) -> str:
    if not figure.applies:
        return f"{figure.unit} do not apply"
    return f"{amount(figure.value)} of {figure.text(figure.limit)}"


def _findings(count: int) -> str:
    return "a finding" if count == 1 else f"each of {count:,} findings"


def amount(value: Number | None) -> str:
    """Returns a figure as it is read.

    >>> amount(10000), amount(0.41659), amount(None)
    ('10,000', '0.417', 'not known')
    """
    if value is None:
        return "not known"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.3f}" if value < 10 else f"{value:,.1f}"  # a latency


def percent(share: float) -> str:
    """Returns a share in percent; what is not nothing is not shown as nothing.

    >>> percent(0.1234), percent(0.0001), percent(0)
    ('12.3 %', 'under 0.1 %', '0.0 %')
    """
    return "under 0.1 %" if 0 < share < 0.0005 else f"{100 * share:,.1f} %"
