"""The process that verifies one entry: reads what to do from stdin, answers on stdout, and ends with its parent."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from typing import Any, BinaryIO

MEMORY_BYTES = 4 << 30


def main() -> None:
    """Answers one order."""
    answer = _private_stdout()
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit(order["time_limit_s"])
    answer.write(json.dumps(_answer(order)).encode())
    answer.close()
    os._exit(0)  # the thread may be in the middle of a read, and nothing else is left to do


def _private_stdout() -> BinaryIO:
    """Whatever a library prints must not get among the answer."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answer


def _end_with_parent() -> None:
    """The other end of stdin closes when the parent ends, in whatever way."""
    with contextlib.suppress(OSError):
        os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _limit(time_limit_s: float) -> None:
    """Behind the parent's clock stands the kernel's, which also ends what holds Python's lock for ever."""
    try:
        import resource
    except ImportError:  # Windows
        return
    cpu_s = int(time_limit_s * (os.cpu_count() or 1)) + 60
    for kind, most in ((resource.RLIMIT_CPU, cpu_s), (resource.RLIMIT_DATA, MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))


def _answer(order: dict[str, Any]) -> dict[str, Any]:
    from kwsbench.errors import KwsbenchError
    from kwsbench.submission.deciding import verify
    from kwsbench.submission.processes import outcome_record, read_order

    folder, house = read_order(order)
    try:
        return outcome_record(verify(folder, house))
    except KwsbenchError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    main()
