"""Times whole processes side by side: alternating rounds, so that a drift of the machine hits all alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One finished process: wall time in seconds, and the most memory that it held in bytes."""

    wall_s: float
    peak_bytes: int


def run(command: Sequence[str]) -> Run:
    """Runs a command to its end, without its output. Raises CalledProcessError where it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Run(wall_s, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def side_by_side(commands: Mapping[str, Sequence[str]], rounds: int, *, warm_up: bool = True) -> None:
    """Runs the commands in turn, `rounds` times; prints medians, and the time of each as a multiple of the last one's.

    Args:
        commands: Command lines by name.
        rounds: How many rounds to count.
        warm_up: Run each once before, uncounted.
    """
    for command in commands.values() if warm_up else ():
        run(command)
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(run(command))
    reference = list(runs)[-1]
    for name, done in runs.items():
        ratio = statistics.median(mine.wall_s / other.wall_s for mine, other in zip(done, runs[reference], strict=True))
        wall_s = statistics.median(each.wall_s for each in done)
        peak_mb = max(each.peak_bytes for each in done) / 1e6
        print(f"{name:<24} median {wall_s:7.3f} s  {ratio:6.2f} x {reference}  peak {peak_mb:6,.0f} MB")
