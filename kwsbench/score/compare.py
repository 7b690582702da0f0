"""Compares two systems on the same clips: a paired test, and a sentence that says what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kwsbench.metrics.paired import AccuracyDifference, PairedTable, difference_interval, mcnemar_exact, paired_table
from kwsbench.predictions import Predictions, Truth
from kwsbench.score.evaluate import Bootstrap, CiMethod, cluster_clips

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same clips.

    Attributes:
        accuracy_a: Accuracy of the first system.
        accuracy_b: Accuracy of the second.
        table: How many clips both, one, or none of them get right.
        difference: Accuracy of B minus that of A, with its 95 % interval.
        ci_method: What the bootstrap resampled.
        p_value: Two-sided exact McNemar test of equal accuracy.
    """

    accuracy_a: float
    accuracy_b: float
    table: PairedTable
    difference: AccuracyDifference
    ci_method: CiMethod
    p_value: float

    def sentence(self, name_a: str, name_b: str) -> str:
        """Returns what the comparison means, in words."""
        if self.table.only_a + self.table.only_b == 0:
            return f"{name_a} and {name_b} are right on the same clips: nothing tells them apart."
        points = 100 * self.difference.difference
        better, worse = (name_b, name_a) if points >= 0 else (name_a, name_b)
        evidence = self._evidence()
        others = "speakers" if self.ci_method == "speaker_bootstrap" else "clips"
        by_test, by_speakers = self.p_value < SIGNIFICANCE, self.difference.low > 0 or self.difference.high < 0
        if by_test and by_speakers:
            return f"{better} is better than {worse} by {abs(points):.2f} points, more than chance explains {evidence}."
        if by_test:
            return (
                f"{better} is better than {worse} by {abs(points):.2f} points on these clips, but with other {others}"
                f" it could be the other way round {evidence}."
            )
        return f"These clips cannot tell {name_a} and {name_b} apart: the difference of {abs(points):.2f} points is within chance {evidence}."

    def _evidence(self) -> str:
        low, high = 100 * self.difference.low, 100 * self.difference.high
        disagree = self.table.only_a + self.table.only_b
        parts = [] if math.isnan(low) else [f"95 % interval of B - A: {low:+.2f} to {high:+.2f} points"]
        parts.append(f"McNemar p {_p(self.p_value)}")
        parts.append(f"they disagree in correctness on {disagree:,} clip{'s' if disagree > 1 else ''}")
        return f"({'; '.join(parts)})"


def compare(truth: Truth, a: Predictions, b: Predictions, bootstrap: Bootstrap | None = None) -> Comparison:
    """Compares predictions A and B for the same clips.

    The McNemar test takes clips as independent; the bootstrap resamples speakers, and so also asks whether the
    difference would hold with other speakers.
    """
    settings = bootstrap or Bootstrap()
    correct_a, correct_b = a.predicted == truth.truth, b.predicted == truth.truth
    clusters = cluster_clips(truth.speakers, settings)
    table = paired_table(correct_a, correct_b)
    difference = difference_interval(
        correct_a, correct_b, clusters.codes, clusters.count, replicates=settings.replicates, seed=settings.seed
    )
    return Comparison(
        accuracy_a=float(correct_a.mean()),
        accuracy_b=float(correct_b.mean()),
        table=table,
        difference=difference,
        ci_method=clusters.method,
        p_value=mcnemar_exact(table.only_a, table.only_b),
    )


def _p(p_value: float) -> str:
    return "under 0.0001" if p_value < 0.0001 else f"= {p_value:.4f}"
