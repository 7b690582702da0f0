"""Boards to make sites from: entries of different strength on made-up clips, scored for real."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kwsbench.leaderboard.board import Board, Entry, Estimate, Rejected
from kwsbench.leaderboard.rules import Rules
from kwsbench.predictions import Predictions, Truth
from kwsbench.score.evaluate import Bootstrap, Score, evaluate
from kwsbench.submission.record import Canary, Submission, Verdict, Verification

LABELS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "_unknown_", "_silence_")
NUM_KEYWORDS = 10
FIRST_DAY = datetime(2026, 10, 19, 9, 30, tzinfo=UTC)

TEXT = """
Tell ten commands, other words and silence apart, with at most **10,000** stored numbers and **1,000,000**
multiply-accumulates for one second of audio.

## What to hand in

1. the model
2. its predictions for the test split
3. a report of one page
"""

REPORT = """# Narrow, but deep

We train *TC-ResNet8* with channels divided by two, see [the paper](https://arxiv.org/abs/1904.03814).

## Data

| augmentation | accuracy |
|---|---:|
| none | 93.1 |
| shift | 94.8 |
| shift and noise | 95.9 |

![Loss over time](loss.png)

```python
optimiser = SGD(lr=0.1)
```

- what worked: noise
- what did not: **mixup**
"""

_TEAMS = (
    "blue-owls",
    "kilobyte-club",
    "mel-o-drama",
    "the-quiet-ones",
    "wake-up-call",
    "null-hypothesis",
    "fft-and-furious",
)
_TITLES = (
    "SparkNet, 16 channels",
    "TC-ResNet8, a third as wide",
    "BC-ResNet-0.625 with SpecAugment",
    "Depthwise TENet, distilled",
    "Ternary weights, learned steps",
    "Conv1d on 40 log-mels",
    "GRU of 24 units",
    "MatchboxNet without its last block",
    "Log-mel and a very small attention",
    "Ensemble folded into one",
)


@cache
def truth_of(num_clips: int = 2_000) -> Truth:
    """A test split of a dozen labels with 120 speakers."""
    draws = np.random.default_rng(7)
    return Truth(
        clip_ids=pl.Series("path", [f"{number:05}.wav" for number in range(num_clips)]),
        labels=LABELS,
        num_keywords=NUM_KEYWORDS,
        truth=draws.integers(0, len(LABELS), num_clips).astype(np.int32),
        speakers=pl.Series("speaker_id", [f"{number:08x}" for number in draws.integers(0, 120, num_clips).tolist()]),
    )


@cache
def score_of(strength: float, seed: int, *, with_scores: bool = True, num_clips: int = 2_000) -> Score:
    """The score of a system that is right as often as it is strong."""
    truth = truth_of(num_clips)
    draws = np.random.default_rng(seed)
    scores = draws.normal(size=(num_clips, len(LABELS)))
    scores[np.arange(num_clips), truth.truth] += strength
    predicted = scores.argmax(axis=1).astype(np.int32)
    columns = tuple(np.ascontiguousarray(scores.T)) if with_scores else None
    return evaluate(truth, Predictions(predicted, columns), Bootstrap(replicates=100))


def report_of(params: int, macs: int) -> dict[str, Any]:
    """A budget report with as many parameters and MACs, in a few layers."""
    shares = (
        ("stem.conv", "convolution", 0.1, 0.3),
        ("blocks.0.depthwise", "convolution", 0.15, 0.2),
        ("blocks.0.pointwise", "convolution", 0.45, 0.35),
        ("head", "mm", 0.3, 0.15),
    )
    layers = [
        {
            "name": name,
            "kind": kind,
            "params": round(params * p),
            "macs": round(macs * m),
            "weight_bytes": 4 * round(params * p),
        }
        for name, kind, p, m in shares
    ]
    return {
        "model": "model.pt",
        "sha256": "0" * 64,
        "format": "kwsbench",
        "params": params,
        "macs": macs,
        "weight_bytes": 4 * params,
        "thop": {"params": params, "macs": round(macs * 0.93)},
        "audit": {"params": params, "macs": macs},
        "front_end": {"params": 0, "macs": 812_000},
        "limits": {"max_params": 10_000, "max_macs": 1_000_000},
        "within_budget": params <= 10_000 and macs <= 1_000_000,
        "verdict": "within budget",
        "findings": [{"message": "batch norm folds into the convolution before it", "blocks": False}],
        "layers": layers,
    }


def verification_of(verdict: Verdict, params: int, macs: int, accuracy: float, key: str) -> Verification:
    """A record of how an entry was checked."""
    ran = verdict not in {Verdict.PREDICTIONS_ONLY, Verdict.REFUSED}
    reasons = {
        Verdict.VERIFIED: "the model gives the labels that were handed in, for each of 2,000 clips",
        Verdict.PREDICTIONS_ONLY: "the model is TorchScript, and there is no sandbox on the machine of the host",
        Verdict.MISMATCH: "the model gives another label for 312 of 2,000 clips",
        Verdict.OVER_BUDGET: f"the model has {params:,} parameters, and 10,000 are allowed",
    }
    canaries = (
        Canary("as they are", 200, 0, accuracy),
        Canary("shifted by 20 ms", 200, 3, accuracy - 0.005),
        Canary("with noise at 30 dB", 200, 5, accuracy - 0.01),
        Canary("at half the gain", 200, 1, accuracy),
    )
    return Verification(
        verdict=verdict,
        reason=reasons.get(verdict, str(verdict)),
        tier=1 if ran else 3,
        num_compared=2_000 if ran else 0,
        num_mismatches=312 if verdict is Verdict.MISMATCH else 0,
        mismatches=("00003.wav", "00017.wav") if verdict is Verdict.MISMATCH else (),
        largest_score_difference=1.2e-6 if ran else None,
        canaries=canaries if ran else (),
        report=report_of(params, macs) if ran else None,
        content_sha256=hashlib.sha256(key.encode()).hexdigest(),
        versions={"kwsbench": "0.1.0", "python": "3.11.2", "torch": "2.13.0"} if ran else {"kwsbench": "0.1.0"},
        seconds=12.5,
    )


def submission_of(team: str, entry: str, title: str, submitted: datetime) -> Submission:
    """What was handed in; its files need not be there."""
    folder = Path("submissions") / team / entry
    return Submission(
        folder=folder,
        team=team,
        entry=entry,
        title=title,
        members=("Ada L.", "Alan T."),
        manifest="speech_commands_v2_12",
        clips_sha256="c" * 64,
        split="test",
        submitted=submitted,
        kwsbench="0.1.0",
        model=folder / "model.pt",
        predictions=folder / "predictions.csv",
        report=folder / "report.md",
        sha256={"model": "1" * 64, "predictions": "2" * 64, "report": hashlib.sha256(REPORT.encode()).hexdigest()},
    )


def rules_of(**changes: Any) -> Rules:
    """The rules of a competition."""
    return Rules.model_validate(
        {
            "title": "Ten commands in 10,000 parameters",
            "text": TEXT,
            "manifest": "speech_commands_v2_12",
            "limits": {"max_params": 10_000, "max_macs": 1_000_000},
            "timezone": "Europe/Berlin",
            "opens": datetime(2026, 10, 19, 8, tzinfo=UTC),
            "deadline": datetime(2026, 12, 18, 22, 59, 59, tzinfo=UTC),
            "late": {"days": 3, "points_per_day": 1.0},
            "entries": {"per_day": 3, "final_per_team": 2},
            **changes,
        }
    )


def entry_of(number: int, strength: float, *, verdict: Verdict = Verdict.VERIFIED, **options: Any) -> Entry:
    """The entry of that number, as strong as it is; `title`, `baseline`, `score`; its place is given by `board_of`."""
    baseline = options.get("baseline", False)
    team = "baselines" if baseline else _TEAMS[number % len(_TEAMS)]
    name = f"model-{number}"
    draws = np.random.default_rng(number)
    over = verdict is Verdict.OVER_BUDGET
    params = (
        int(np.clip(2_300 * np.exp((strength - 2.6) * 1.1) * draws.uniform(0.75, 1.3), 900, 9_990))
        if not over
        else 12_400
    )
    macs = int(np.clip(params * draws.uniform(45, 150), 60_000, 990_000)) if not over else 1_310_000
    score = options.get("score") or score_of(strength, number)
    accuracy = score.summary[0]
    submitted = FIRST_DAY + timedelta(hours=31 * number + int(draws.integers(0, 20)))
    key = f"{team}/{name}"
    return Entry(
        submission=submission_of(team, name, options.get("title") or _TITLES[number % len(_TITLES)], submitted),
        verification=verification_of(verdict, params, macs, accuracy.value, key),
        score=score,
        main=Estimate(accuracy.value, accuracy.ci_low, accuracy.ci_high),
        num_parameters=None if verdict in {Verdict.PREDICTIONS_ONLY, Verdict.REFUSED} else params,
        macs=None if verdict in {Verdict.PREDICTIONS_ONLY, Verdict.REFUSED} else macs,
        weight_bytes=4 * params,
        rank=None,
        band=None,
        unranked_because=""
        if verdict in {Verdict.VERIFIED, Verdict.PREDICTIONS_ONLY}
        else f"{verdict}: it does not count",
        is_baseline=baseline,
        late_days=0,
    )


def placed(entries: list[Entry]) -> tuple[Entry, ...]:
    """Entries by rank, in bands by whether their intervals reach the leader's figure; those without a rank last."""
    ranked = sorted((one for one in entries if not one.unranked_because), key=lambda one: -one.main.value)
    result: list[Entry] = []
    band, leader = 0, None
    for rank, entry in enumerate(ranked, start=1):
        if leader is None or entry.main.value < leader.main.low:
            band, leader = band + 1, entry
        result.append(replace(entry, rank=rank, band=band))
    return (*result, *(one for one in entries if one.unranked_because))


def board_of(
    *entries: Entry, rejected: tuple[Rejected, ...] = (), rules: Rules | None = None, hidden_clips: int = 0
) -> Board:
    """A board of those entries, or of two dozen that look like a course."""
    every = list(entries) or course()
    return Board(
        rules=rules or rules_of(),
        entries=placed(every),
        rejected=rejected,
        labels=LABELS,
        num_keywords=NUM_KEYWORDS,
        num_clips=2_000,
        hidden_clips=hidden_clips,
        updated=max((one.submission.submitted for one in every), default=None),
        provenance={
            "manifest": "speech_commands_v2_12",
            "revision": "1",
            "clips_sha256": "c" * 64,
            "kwsbench": "0.1.0",
        },
    )


def course() -> list[Entry]:
    """Two dozen entries of seven teams, with baselines and with what can go wrong."""
    strengths = (3.62, 3.55, 3.6, 3.9, 3.5, 3.4, 3.42, 3.3, 3.64, 3.7, 3.15, 2.9, 3.58, 3.45, 3.95, 3.2, 2.8, 3.48)
    verdicts = {5: Verdict.PREDICTIONS_ONLY, 13: Verdict.MISMATCH, 14: Verdict.OVER_BUDGET}
    teams = [
        entry_of(number, strength, verdict=verdicts.get(number, Verdict.VERIFIED))
        for number, strength in enumerate(strengths)
    ]
    names = (("DS-CNN-S", 3.25), ("TC-ResNet8", 3.52), ("MFCC and LightGBM", 2.5))
    return teams + [
        entry_of(50 + number, strength, title=title, baseline=True) for number, (title, strength) in enumerate(names)
    ]
