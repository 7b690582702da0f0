"""The command line: `kwsbench data`, `baselines`, `train`, `predict`, `listen`, `score`, `compare`, `check-budget`, `export`."""

import os
import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of the signal, as shells have it."""


def main() -> None:
    """Runs the command line; every import waits until here so that `import kwsbench` stays light."""
    _open_closed_streams()
    try:
        from kwsbench.cli.app import app

        app(prog_name="kwsbench")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _open_closed_streams() -> None:
    # Else the next file to be opened would become stdout, and what is printed would end up in it.
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, os.fdopen(number, "w", closefd=False))
