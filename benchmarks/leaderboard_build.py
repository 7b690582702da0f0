"""How long a leaderboard takes: a first build of many entries, a rebuild after one new one, and a rebuild of nothing.

Makes entries with 4,890 predictions each, as many as the official 12-label test set of Speech Commands v0.02 has clips,
in a temporary folder, and times both halves of `kwsbench leaderboard build` without re-execution: the board from the
folders, and the site from the board. Every measurement is a process of its own, so that its memory is its own too.

    python benchmarks/leaderboard_build.py [--entries 1000] [--without-scores] [--keep DIR]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from kwsbench.catalogue import find_manifest
from kwsbench.predictions import write_predictions
from kwsbench.submission.form import Files, Form, Hashes, form_text
from kwsbench.submission.report import SECTIONS

MANIFEST = "speech_commands_v2_12"
NUM_CLIPS, NUM_SPEAKERS, TEAM_SIZE = 4_890, 280, 10
RULES = f"""
title = "A thousand entries"
manifest = "{MANIFEST}"
truth = "truth.csv"

[limits]
max_params = 10_000
"""
_START = datetime(2026, 10, 1, 12, tzinfo=UTC)


class Course:
    """A competition with made-up entries.

    Args:
        root: Where its folders are made.
        with_scores: Entries have a score for every label.
    """

    def __init__(self, root: Path, *, with_scores: bool) -> None:
        self.root, self._with_scores = root, with_scores
        self._manifest = find_manifest(MANIFEST)[0]
        self._labels = self._manifest.labels
        random = np.random.default_rng(0)
        self._truth = random.integers(0, len(self._labels), NUM_CLIPS)
        self._difficulty = random.gumbel(size=(NUM_CLIPS, len(self._labels)))
        speakers = [f"{number:08x}" for number in random.integers(0, NUM_SPEAKERS, NUM_CLIPS)]
        self._ids = pl.Series("path", [f"w{i % 12}/{name}_nohash_{i}.wav" for i, name in enumerate(speakers)])
        (root / "submissions").mkdir(parents=True, exist_ok=True)
        (root / "competition.toml").write_text(RULES, encoding="utf-8")
        truth = {"path": self._ids, "label": [self._labels[code] for code in self._truth], "speaker_id": speakers}
        pl.DataFrame(truth).write_csv(root / "truth.csv")

    def add(self, number: int) -> None:
        """Writes an entry, of a skill of its own."""
        folder = self.root / "submissions" / f"team-{number // TEAM_SIZE:03d}" / f"entry-{number:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        self._write_predictions(folder / "predictions.csv", number)
        (folder / "model.safetensors").write_bytes(model_bytes(number))
        text = "".join(f"## {name}\n\nThis is what we did, in a sentence or two.\n\n" for name in SECTIONS)
        (folder / "report.md").write_text(f"# Entry {number}\n\n{text}", encoding="utf-8")
        (folder / "submission.toml").write_text(self._form(folder, number), encoding="utf-8")

    def _write_predictions(self, path: Path, number: int) -> None:
        random = np.random.default_rng(number + 1)
        scores = self._difficulty * 0.7 + random.gumbel(size=self._difficulty.shape) * 0.7
        scores[np.arange(NUM_CLIPS), self._truth] += 4 + 2 * random.random()
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        predicted = [self._labels[code] for code in shares.argmax(axis=1)]
        columns = dict(zip(self._labels, shares.T, strict=True)) if self._with_scores else None
        write_predictions(path, self._ids, predicted, columns)

    def _form(self, folder: Path, number: int) -> str:
        files = Files(model="model.safetensors")
        hashes = {
            part: hashlib.sha256((folder / name).read_bytes()).hexdigest() for part, name in files.named().items()
        }
        form = Form(
            team=folder.parent.name,
            entry=folder.name,
            title=f"Entry number {number}",
            members=("Ada L.",),
            manifest=MANIFEST,
            clips_sha256=self._manifest.clips_sha256 or "0" * 64,
            split="test",
            submitted=_START + timedelta(minutes=number),
            kwsbench="0.1.0",
            files=files,
            sha256=Hashes(**hashes),
        )
        return form_text(form)


def model_bytes(number: int) -> bytes:
    """Returns a safetensors file of 9,000 numbers."""
    weights = np.random.default_rng(number).normal(size=9_000).astype("<f4").tobytes()
    header = json.dumps({"weight": {"dtype": "F32", "shape": [9_000], "data_offsets": [0, len(weights)]}}).encode()
    return struct.pack("<Q", len(header)) + header + weights


def build(root: Path, *, site: bool) -> None:
    """Builds once, and prints how long the two halves took and how much memory they needed, as JSON."""
    from joblib.externals.loky import get_reusable_executor

    from kwsbench.leaderboard.collect import Sources, collect
    from kwsbench.leaderboard.rules import read_rules
    from kwsbench.submission.judging import House

    begun = time.perf_counter()
    rules = read_rules(root / "competition.toml")
    house = House(rules.manifest, data=root / "data", truth=rules.truth)
    board = collect(root / "submissions", rules, Sources(house, cache=root / "cache"))
    collected = time.perf_counter()
    if site:
        from kwsbench.leaderboard.site.build import build_site

        build_site(board, root / "site", root / "pages")
    ended = time.perf_counter()
    get_reusable_executor().shutdown()  # only a process that has ended says how much memory it needed
    used = os.times()
    mib = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(
        json.dumps(
            {
                "entries": len(board.entries),
                "rejected": len(board.rejected),
                "bands": max((entry.band or 0 for entry in board.entries), default=0),
                "board_s": round(collected - begun, 2),
                "site_s": round(ended - collected, 2),
                "cpu_s": round(used.user + used.system + used.children_user + used.children_system, 2),
                "peak_mib": round(mib[0]),
                "peak_mib_of_a_worker": round(mib[1]),
            }
        )
    )


def measure(title: str, root: Path, *, site: bool) -> None:
    """Builds in a process of its own, and prints the time from its start to its end."""
    words = [sys.executable, __file__, "--build", str(root), *(["--site"] if site else [])]
    begun = time.perf_counter()
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    print(f"{title:28} {time.perf_counter() - begun:6.2f} s   {said.strip()}", flush=True)


def main() -> None:
    """Makes the entries and measures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=1000)
    parser.add_argument("--without-scores", action="store_true")
    parser.add_argument("--site", action="store_true", help="also build the site")
    parser.add_argument("--keep", type=Path, help="folder to work in, which stays")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.build:
        build(given.build, site=given.site)
        return
    with tempfile.TemporaryDirectory() as temporary:
        course = Course(given.keep or Path(temporary), with_scores=not given.without_scores)
        begun = time.perf_counter()
        for number in range(given.entries):
            course.add(number)
        made = time.perf_counter() - begun
        print(
            f"{given.entries:,} entries made in {made:.0f} s; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
        )
        measure("first build", course.root, site=given.site)
        course.add(given.entries)
        measure("rebuild after one new entry", course.root, site=given.site)
        measure("rebuild after no change", course.root, site=given.site)


if __name__ == "__main__":
    main()
