"""Verifies one entry in this process: judges it, counts its model, runs it again, and says the verdict.

In this order, the first that applies: invalid, refused, predictions only, mismatch, over budget, verified.
"""

from __future__ import annotations

import importlib.util
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kwsbench import __version__
from kwsbench.budget.report import Report
from kwsbench.checkpoint.model_file import Format
from kwsbench.errors import InputError, RefusedError
from kwsbench.printable import printable
from kwsbench.submission.costing import breach, count
from kwsbench.submission.judging import WEIGHTS_ONLY, House, Judged, Terms, judge
from kwsbench.submission.record import Submission, Verdict, Verification, content_sha256
from kwsbench.submission.rerun import Rerun, rerun

_TORCH = ("torch", "thop")
_NEEDS = {
    Format.KWSBENCH: _TORCH,
    Format.TORCHSCRIPT: _TORCH,
    Format.EXPORTED_PROGRAM: _TORCH,
    Format.ONNX: ("onnx", "onnxruntime"),
    Format.LIGHTGBM: ("lightgbm",),
}
"""What runs a model of each format; weights alone run where a definition is with them."""

_NAMED = 3
_CHANGED = "the entry changed while it was verified; verify it again when nobody writes to it"


@dataclass(frozen=True)
class Outcome:
    """A verification, and whether it would come out the same on any machine and at any time.

    Attributes:
        verification: What came out.
        lasting: Whether it may be kept: it does not hang on what is missing here.
    """

    verification: Verification
    lasting: bool = True


def verify(folder: Path, house: House, *, run: bool = True) -> Outcome:
    """Verifies an entry in this process, which its model can crash or keep for ever; see `verify_all` for many.

    Args:
        folder: `<team>/<entry>`.
        house: Where it is judged.
        run: Run the model.

    Raises:
        InputError: What is wrong is the house's.
    """
    begun = time.monotonic()
    judged = judge(folder, house)
    outcome = _decide(judged, house, run=run)
    if run and _has_changed(judged):
        outcome = Outcome(Verification(Verdict.INVALID, _CHANGED, problems=(_CHANGED,)), lasting=False)
    return completed(outcome, judged, time.monotonic() - begun)


def _has_changed(judged: Judged) -> bool:
    try:
        return content_sha256(judged.folder) != judged.content_sha256
    except InputError:
        return bool(judged.content_sha256)


def decided_early(judged: Judged) -> Outcome | None:
    """Returns what becomes of an entry whose model need not or cannot be run; None where it has to be."""
    early = _without_model(judged, run=True)
    return completed(early, judged, 0.0) if early else None


def completed(outcome: Outcome, judged: Judged, seconds: float) -> Outcome:
    """Returns an outcome with what is known of every entry: its hash, its accuracy, versions, the time it took."""
    facts: dict[str, Any] = {
        "tier": judged.tier,
        "content_sha256": judged.content_sha256,
        "accuracy": judged.accuracy,
        "versions": _versions(judged),
        "seconds": round(seconds, 3),
    }
    return replace(outcome, verification=replace(outcome.verification, **facts))


def _decide(judged: Judged, house: House, *, run: bool) -> Outcome:
    early = _without_model(judged, run=run)
    if early is not None:
        return early
    submission, terms = judged.submission, judged.terms
    if submission is None or terms is None:
        raise ValueError("an entry without problems has a form, and terms that it is held against")
    try:
        return _with_model(judged, submission, terms, house)
    except RefusedError as error:
        return Outcome(Verification(Verdict.REFUSED, _sentence(str(error))))
    except Exception as error:  # noqa: BLE001 - code of a baseline, and libraries on a stranger's data, raise anything
        reason = f"the model failed while it ran: {type(error).__name__}: {error}"
        return Outcome(Verification(Verdict.REFUSED, _sentence(reason)))


def _without_model(judged: Judged, *, run: bool) -> Outcome | None:
    """The verdict where the model need not or cannot be run; None where it has to be."""
    if judged.problems:
        return Outcome(_invalid(judged))
    if judged.refusal:
        return Outcome(Verification(Verdict.REFUSED, _sentence(judged.refusal)))
    return _without_means(judged) if run else _only("the model was not run")


def _without_means(judged: Judged) -> Outcome | None:
    """The verdict where something to run the model with is missing; None where nothing is."""
    terms = judged.terms
    if terms is None or terms.dataset is None or judged.predictions is None:
        return _only(f"the clips are not here: {terms.why_not if terms else ''}", lasting=False)
    needs = _needs(judged)
    if needs is None:
        return _only("the model holds weights without their architecture, so that it cannot be run")
    missing = [name for name in needs if importlib.util.find_spec(name) is None]
    if missing:
        return _only(f"what runs the model is not installed here: {', '.join(missing)}", lasting=False)
    return _without_sandbox(judged)


def _needs(judged: Judged) -> tuple[str, ...] | None:
    """What runs the model; None where nothing can."""
    if judged.format in WEIGHTS_ONLY:
        return _TORCH if judged.submission and judged.submission.definition else None
    return _NEEDS.get(judged.format) if judged.format else None


def _without_sandbox(judged: Judged) -> Outcome | None:
    from kwsbench.sandbox import unavailable_reason

    reason = unavailable_reason() if judged.tier == 3 else None
    if reason is None:
        return None
    return Outcome(Verification(Verdict.REFUSED, f"the model runs in the sandbox only, and {reason}"), lasting=False)


def _only(reason: str, *, lasting: bool = True) -> Outcome:
    return Outcome(Verification(Verdict.PREDICTIONS_ONLY, reason), lasting)


def _invalid(judged: Judged) -> Verification:
    first, *others = (_sentence(str(problem)) for problem in judged.problems)
    more = f" (and {len(others):,} more)" if others else ""
    return Verification(Verdict.INVALID, first + more, problems=(first, *others))


def _with_model(judged: Judged, submission: Submission, terms: Terms, house: House) -> Outcome:
    report, uncounted = _count(submission, terms, house)
    predictions = judged.predictions
    if predictions is None:
        raise ValueError("without predictions there is nothing to compare with")
    shown = report.model_dump(mode="json") if report else None
    try:
        run = rerun(submission, terms, predictions, house.baselines)
    except InputError as error:
        reason = _sentence(f"the model cannot be run: {error}")
        return Outcome(Verification(Verdict.PREDICTIONS_ONLY, reason, report=shown))
    over = breach(report) if report else f"its budget cannot be counted: {uncounted}"
    verdict, reason = _verdict(run, len(run.comparison.differs), over)
    verification = Verification(
        verdict,
        _sentence(reason),
        num_compared=len(run.comparison.differs),
        num_mismatches=int(run.comparison.differs.sum()),
        mismatches=run.mismatches,
        largest_score_difference=run.comparison.largest_score_difference,
        canaries=run.canaries,
        report=shown,
    )
    return Outcome(verification)


def _count(submission: Submission, terms: Terms, house: House) -> tuple[Report | None, str]:
    try:
        return count(submission.model, terms, house, submission.arch), ""
    except InputError as error:
        return None, str(error)


def _verdict(run: Rerun, num_clips: int, over: str) -> tuple[Verdict, str]:
    besides = f"; besides, {over}" if over else ""
    num_mismatches = int(run.comparison.differs.sum())
    if num_mismatches:
        which = ", ".join(run.mismatches[:_NAMED]) + (", ..." if num_mismatches > _NAMED else "")
        told = f"the model gives other predictions for {num_mismatches:,} of {num_clips:,} clips ({which})"
        return Verdict.MISMATCH, told + besides
    if run.suspicion:
        return Verdict.MISMATCH, f"the model knows these clips, not the words: {run.suspicion}{besides}"
    if over:
        return Verdict.OVER_BUDGET, over
    num_canaries = len(run.canaries) - 1
    return (
        Verdict.VERIFIED,
        f"all {num_clips:,} predictions are the model's own, and {num_canaries} changes leave it so",
    )


def _sentence(text: str) -> str:
    """Several lines as one, not without end, and nothing in them but what shows."""
    line = printable("; ".join(part.strip().removeprefix("- ") for part in text.splitlines() if part.strip()))
    return line if len(line) <= 1_000 else line[:1_000] + "…"


def _versions(judged: Judged) -> dict[str, str]:
    packages = ("numpy", *(_needs(judged) or ()))
    return {"kwsbench": __version__, "python": platform.python_version()} | dict(_installed(packages))


def _installed(packages: Iterable[str]) -> Iterable[tuple[str, str]]:
    for package in packages:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue
