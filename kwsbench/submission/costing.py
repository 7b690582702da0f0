"""What the model of an entry costs, as `kwsbench check-budget` counts it, and what that means in a sentence."""

from __future__ import annotations

from pathlib import Path

from kwsbench.budget.hints import hints
from kwsbench.budget.limits import FoundLimits, limits_of
from kwsbench.budget.question import Question
from kwsbench.budget.report import Report, Verdict
from kwsbench.budget.verdict import explain
from kwsbench.dataset.few_clips import few_clips
from kwsbench.errors import Problem
from kwsbench.submission.judging import House, Terms

_NUM_CLIPS = 4


def count(model: Path, terms: Terms, house: House, arch: str | None = None) -> Report:
    """Counts a model against the limits of the house, and what they lack against those of the manifest.

    Args:
        model: The model file.
        terms: The benchmark.
        house: Where the entry is judged.
        arch: `FILE.py:CALLABLE`, where the file holds weights only.

    Raises:
        InputError: It is no model, or what is needed to count it is missing.
        RefusedError: It would be unsafe to handle.
    """
    from kwsbench.budget.check import check_budget

    manifest = terms.manifest
    question = Question(
        limits=house_limits(house, terms),
        arch=arch,
        front_end=manifest.front_end,
        sample_rate_hz=manifest.sample_rate_hz,
        clip_samples=manifest.clip_samples,
        clips=list(few_clips(terms.dataset, _NUM_CLIPS)) if terms.dataset else (),
        baselines=house.baselines,
    )
    return check_budget(model, question).model_copy(update={"model": model.name})


def house_limits(house: House, terms: Terms) -> FoundLimits:
    """Returns the limits that hold for a benchmark."""
    return house.limits.filled(limits_of(terms.manifest), f"the manifest {terms.manifest.name}")


def breach(report: Report) -> str:
    """Returns why a model does not keep its limits, in words; empty where it does, or has none."""
    if report.within_budget is not False:
        return ""
    doubts = [finding.message for finding in report.findings if finding.blocks]
    reasons = [explain(report)[0].rstrip("."), *doubts[:1]]
    begins = "" if report.verdict is Verdict.OVER else "the budget cannot be certified: "
    return begins + ": ".join(reasons)


def budget_problem(report: Report) -> Problem | None:
    """Returns what is wrong with the costs of a model, with what would help; None where nothing is."""
    if report.within_budget is not False:
        return None
    remedy = "; ".join(hints(report)) or "run `kwsbench check-budget` on the model"
    return Problem(report.model, breach(report), f"a model within the limits from {report.limits_from}", remedy)
