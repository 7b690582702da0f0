"""What the benchmarks on trained models share: their options, and commands of kwsbench, each in a process of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path


def kwsbench(*words: str, log: Path | None = None, may_fail: bool = False) -> str:
    """Runs `kwsbench WORD...` and returns what it printed; ends this program where it fails.

    Args:
        words: The command.
        log: A file that everything it says is added to; None shows its messages.
        may_fail: A check that fails, as of a model over its budget, is no failure.
    """
    command = [sys.executable, "-m", "kwsbench", *words]
    if log is None:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    else:
        with log.open("a") as messages:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=messages, text=True, check=False)
            messages.write(done.stdout)
    if done.returncode and not may_fail:
        raise SystemExit(f"`kwsbench {' '.join(words)}` failed{f'; see {log}' if log else ''}")
    return done.stdout


def parser_on_runs(description: str | None, *first: str) -> argparse.ArgumentParser:
    """Makes a parser for a prepared manifest, `--data` and `--runs`.

    Args:
        description: What the program does, as it is written.
        first: Arguments that come before the manifest.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in first:
        parser.add_argument(name)
    parser.add_argument("manifest", help="name of a prepared manifest")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where models are trained")
    return parser
