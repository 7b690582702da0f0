"""Entries side by side, each in a process of its own: on this machine, or on the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kwsbench.budget.limits import FoundLimits
from kwsbench.budget.report import Limits
from kwsbench.catalogue import names_a_path
from kwsbench.errors import InputError
from kwsbench.extras import import_extra
from kwsbench.submission.deciding import Outcome, completed, decided_early
from kwsbench.submission.judging import House, Judged, judge
from kwsbench.submission.record import Verdict, Verification

_CONNECT_S = 20
_ENDING_S = 10
_POLL_S = (
    0.2  # a wait without end is not interrupted where a library (Polars does) lets system calls go on after Ctrl-C
)
_PATHS = ("data", "truth", "baselines")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
_CRASHES = frozenset({"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP", "SIGXCPU"})


@dataclass(frozen=True)
class Work:
    """How entries are verified in processes of their own.

    Attributes:
        house: Where they are judged.
        time_limit_s: Seconds that one may take.
        workers: How many side by side; None for one per processor, or as many as a cluster has.
        dask: Address of a Dask scheduler; None for this machine.
    """

    house: House
    time_limit_s: float
    workers: int | None
    dask: str | None


def run_all(folders: list[Path], work: Work) -> Iterator[tuple[Path, Outcome]]:
    """Yields each entry with what came out, as they end.

    Raises:
        InputError: What is wrong is the house's or the cluster's.
    """
    joblib = import_extra("joblib", "leaderboard")
    num_workers = work.workers or (-1 if work.dask else os.cpu_count() or 1)
    threads = max(1, (os.cpu_count() or 1) // (num_workers if num_workers > 0 else 1))
    with _cluster(work.dask) if work.dask else _children_ended():
        backend = "dask" if work.dask else "threading"
        with joblib.parallel_config(backend=backend):
            parallel = joblib.Parallel(n_jobs=num_workers, return_as="generator_unordered", batch_size=1)
            order = order_record(work.house, work.time_limit_s, threads)
            tasks = (joblib.delayed(_run)(str(folder.absolute()), order) for folder in folders)
            by_name = {str(folder.absolute()): folder for folder in folders}
            for name, answer in parallel(tasks):
                yield by_name[name], _outcome(answer)


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    distributed = import_extra("distributed", "dask", "Dask")
    try:
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=True)
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {address}: {error}; is it running?") from error
    try:
        yield
    finally:
        client.close()


_running: set[subprocess.Popen[bytes]] = set()


@contextmanager
def _children_ended() -> Iterator[None]:
    """Ends the processes that are still there when the caller stops early, so that their threads end, too."""
    try:
        yield
    finally:
        for process in list(_running):
            _kill(process)


def order_record(house: House, time_limit_s: float, threads: int) -> dict[str, Any]:
    """Returns what a worker process must know, as JSON can hold it."""
    paths = {name: _absolute(getattr(house, name)) for name in _PATHS}
    limits = {"limits": house.limits.limits.model_dump(), "words": house.limits.words}
    named = house.manifest
    record = {
        "manifest": str(Path(named).absolute()) if named and names_a_path(named) else named,
        "split": house.split,
        **limits,
        **paths,
    }
    return {"house": record, "time_limit_s": time_limit_s, "threads": threads}


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def read_order(order: Mapping[str, Any]) -> tuple[Path, House]:
    """Returns in the worker process what `order_record` was given."""
    record = dict(order["house"])
    limits = FoundLimits(Limits(**record.pop("limits")), record.pop("words"))
    paths = {name: None if record[name] is None else Path(record[name]) for name in _PATHS}
    return Path(order["folder"]), House(**{**record, **paths}, limits=limits)


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """Returns an outcome as JSON can hold it."""
    return {"verification": outcome.verification.to_json(), "lasting": outcome.lasting}


def _outcome(answer: Mapping[str, Any]) -> Outcome:
    if "error" in answer:
        raise InputError(answer["error"])
    return Outcome(Verification.from_json(answer["verification"]), answer["lasting"])


def _run(folder: str, order: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Verifies one entry: in a thread here, or on a worker of the cluster, and with a process if its model is run."""
    order = {**order, "folder": folder}
    try:
        judged = judge(*read_order(order))
    except InputError as error:
        return folder, {"error": str(error)}
    early = decided_early(judged)
    return folder, outcome_record(early) if early else _run_in_process(judged, order)


def _run_in_process(judged: Judged, order: dict[str, Any]) -> dict[str, Any]:
    begun = time.monotonic()
    command = [sys.executable, "-P", "-m", "kwsbench.submission.worker"]  # nothing is imported from the current folder
    threads = {name: str(order["threads"]) for name in _THREADS if name not in os.environ}
    process = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | threads,
        start_new_session=True,
    )
    _running.add(process)
    try:
        answer, in_time = _converse(process, order)
    finally:
        _kill(process)
        _running.discard(process)
    if process.returncode == 0 and answer:
        record: dict[str, Any] = json.loads(answer)
        return record
    reason, lasting = _ending(process.returncode, order["time_limit_s"], in_time=in_time)
    outcome = Outcome(Verification(Verdict.REFUSED, reason), lasting)
    return outcome_record(completed(outcome, judged, time.monotonic() - begun))


def _converse(process: subprocess.Popen[bytes], order: dict[str, Any]) -> tuple[bytes, bool]:
    """Gives the order and reads the answer; says whether it came in time.

    Stdin stays open all the while: that it closes is how the process learns that this one has ended.
    """
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise ValueError("a worker process needs pipes")
    deadline = time.monotonic() + order["time_limit_s"]
    chunks: list[bytes] = []
    reader = threading.Thread(target=lambda: chunks.append(stdout.read()), daemon=True)
    reader.start()
    with contextlib.suppress(BrokenPipeError):
        stdin.write(json.dumps(order).encode() + b"\n")
        stdin.flush()
    while reader.is_alive() and time.monotonic() < deadline:
        reader.join(_POLL_S)
    in_time = not reader.is_alive()
    _kill_unless_ended(process, in_time=in_time)
    reader.join()
    for pipe in (stdin, stdout):
        with contextlib.suppress(OSError):
            pipe.close()
    return b"".join(chunks), in_time


def _kill_unless_ended(process: subprocess.Popen[bytes], *, in_time: bool) -> None:
    """A process that has closed its answer gets a moment to end by itself, so that its exit code is its own."""
    if in_time:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_ENDING_S)
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ending(code: int, time_limit_s: float, *, in_time: bool) -> tuple[str, bool]:
    """Why a process ended without an answer, in words, and whether the entry is to blame for sure."""
    if not in_time:
        return f"the model did not end within {time_limit_s:g} s and was stopped", True
    if code >= 0:
        return f"the process that ran the model ended with exit code {code} and no answer", False
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"the process that ran the model was ended by {name}", name in _CRASHES
