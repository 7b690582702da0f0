"""Examines all entries: only those that are new, several at a time, and none of them can stop the others."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from kwsbench.errors import InputError
from kwsbench.extras import import_extra
from kwsbench.leaderboard.examine import Examined, Ground, examine
from kwsbench.leaderboard.examined_file import decode, encode
from kwsbench.leaderboard.stamps import Stamps, look
from kwsbench.progress import progress
from kwsbench.submission.judging import judge
from kwsbench.submission.record import content_sha256

_FEW = 12
"""So many new entries are examined sooner than further processes could be started."""

_AT_A_TIME = 8
_STAMPS = "stamps.json"

Reasons = Mapping[Path, tuple[str, ...]]
"""Why an entry could not be examined, by its folder."""


@dataclass(frozen=True)
class _Task:
    """An entry that has to be examined: its folder, what its result is called, and the hash that it had before."""

    folder: Path
    file: Path
    content_sha256: str


def examine_many(folders: Sequence[Path], ground: Ground, cache: Path | None, jobs: int) -> dict[Path, Examined]:
    """Examines entries.

    Args:
        folders: `<team>/<entry>`.
        ground: What they are examined on.
        cache: Folder of what was found earlier, by content; None keeps nothing.
        jobs: Processes that work at a time.

    Returns:
        What was found in each folder; for one that made its process fail, that it did.

    Raises:
        InputError: There is no truth to score with, or the cache cannot be written.
    """
    with ExitStack() as stack:
        place = cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place.mkdir(parents=True, exist_ok=True)
        fingerprint, stamps = ground.fingerprint(), Stamps(place / _STAMPS)
        tasks = [_task(folder, stamps, place, fingerprint) for folder in folders]
        stamps.save()
        failed = _work([task for task in tasks if not task.file.exists()], ground, jobs)
        return {task.folder: _result(task, ground, failed) for task in tasks}


def _task(folder: Path, stamps: Stamps, place: Path, fingerprint: str) -> _Task:
    content = stamps.content_of(folder)
    if content is None:
        appearance = look(folder)
        content = _content(folder)
        stamps.note(folder, content, appearance)
    is_link = folder.is_symlink() or folder.parent.is_symlink()  # which its content does not say
    facts = [fingerprint, str(folder), str(folder.absolute()), is_link, content]
    name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return _Task(folder, place / f"{name}.entry", content)


def _content(folder: Path) -> str:
    try:
        return content_sha256(folder)
    except InputError:
        return ""


def _work(tasks: Sequence[_Task], ground: Ground, jobs: int) -> Reasons:
    """Examines what is new and keeps it; returns what could not be kept, and why."""
    if not tasks:
        return {}
    ground.shown_truth  # noqa: B018 -- what is missing is said once, not by every process
    if len(tasks) <= _FEW or jobs == 1:
        return _examine_into_files(tasks, ground)
    parts = [tasks[start : start + _AT_A_TIME] for start in range(0, len(tasks), _AT_A_TIME)]
    return _in_processes(parts, ground, jobs)


def _in_processes(parts: Sequence[Sequence[_Task]], ground: Ground, jobs: int) -> Reasons:
    joblib = import_extra("joblib", "leaderboard")
    loky = importlib.import_module("joblib.externals.loky.process_executor")
    failed: dict[Path, tuple[str, ...]] = {}
    try:
        with progress("scoring", sum(map(len, parts)), "entries") as advance:
            work = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
            for reasons in work(joblib.delayed(_examine_into_files)(part, ground) for part in parts):
                failed.update(reasons)
                advance(_AT_A_TIME)
    except loky.TerminatedWorkerError:
        left = [task for part in parts for task in part if task.folder not in failed and not task.file.exists()]
        failed.update(_one_by_one(left, ground))
    return failed


def _one_by_one(tasks: Sequence[_Task], ground: Ground) -> Reasons:
    """Examines entries one after the other in a process of their own, and in a new one after each that ends it."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    failed: dict[Path, tuple[str, ...]] = {}
    left = list(tasks)
    while left:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            try:
                while left:
                    failed.update(pool.submit(_examine_into_files, [left[0]], ground).result())
                    left.pop(0)
            except BrokenProcessPool:
                folder = left.pop(0).folder
                failed[folder] = (f"{folder}: the process that read it ended, as one that lacks memory does",)
    return failed


def _examine_into_files(tasks: Sequence[_Task], ground: Ground) -> Reasons:
    """Examines entries and keeps what was found; returns what could not be kept, and why."""
    return {task.folder: reasons for task in tasks if (reasons := _examine_into_file(task, ground))}


def _examine_into_file(task: _Task, ground: Ground) -> tuple[str, ...]:
    try:
        found = examine(judge(task.folder, ground.house), ground)
    except InputError:  # of the house, not of the entry
        raise
    except Exception as error:  # noqa: BLE001 -- whatever one entry brings about, the others go on
        return (f"{task.folder}: it could not be read ({type(error).__name__})",)
    if not task.content_sha256:
        return found.problems or (f"{task.folder}: its files cannot be listed",)
    if found.content_sha256 != task.content_sha256 or _content(task.folder) != task.content_sha256:
        return (f"{task.folder}: found a change while it was read; build again when nobody writes to it",)
    temporary = task.file.with_name(f"{task.file.name}.{os.getpid()}.tmp")
    temporary.write_bytes(encode(found))
    temporary.replace(task.file)
    return ()


def _result(task: _Task, ground: Ground, failed: Reasons) -> Examined:
    if task.folder in failed:
        return Examined(task.content_sha256, problems=failed[task.folder])
    try:
        return decode(task.file.read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        reasons = _examine_into_file(task, ground)
    return Examined(task.content_sha256, problems=reasons) if reasons else decode(task.file.read_bytes())
