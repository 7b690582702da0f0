"""Times whole processes side by side: alternating rounds, so that a drift of the machine hits both alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One finished process: wall time in seconds, peak memory of the largest process in bytes."""

    wall_s: float
    peak_bytes: int


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Runs a command to its end in a child of its own, so that its peak memory is its own; exits where it fails."""
    code = (
        "import resource, subprocess, sys, time\n"
        "start = time.perf_counter()\n"
        "status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)\n"
        "wall_s = time.perf_counter() - start\n"
        "sys.stderr.buffer.write(status.stderr if status.returncode else b'')\n"
        "print(wall_s, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, status.returncode)\n"
    )
    watched = [sys.executable, "-c", code, *command]
    shown = subprocess.run(
        watched, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **(environment or {})}
    )
    wall_s, peak_bytes, status = shown.stdout.split()
    if int(status):
        sys.exit(f"exit code {status}: {' '.join(command)}")
    return Run(float(wall_s), int(peak_bytes))


def side_by_side(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[Run]]:
    """Runs each command once to warm up, then all of them in turn, `rounds` times; prints medians and ratios to the last."""
    for command in commands.values():
        run(command)
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(run(command))
    reference = list(runs)[-1]
    for name, done in runs.items():
        ratios = [mine.wall_s / other.wall_s for mine, other in zip(done, runs[reference], strict=True)]
        wall_s = statistics.median(each.wall_s for each in done)
        peak_mb = max(each.peak_bytes for each in done) / 1e6
        print(
            f"{name:<28} median {wall_s:7.3f} s   {statistics.median(ratios):5.2f} x {reference}   peak {peak_mb:,.0f} MB"
        )
    return runs
