"""The child: takes one request, locks itself in, calls one function, answers, ends.

It is started by `python -I -B -c START_CODE FOLDER...`. The request comes as a frame on standard input and is gone
from there before the function is called. The answer leaves through a copy of standard output; what anything prints,
to either, goes to standard error.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kwsbench.errors import CheckFailedError, InputError, KwsbenchError, RefusedError
from kwsbench.sandbox import wire
from kwsbench.sandbox.limits import Limits, lock

START_CODE = (
    "import site, sys; own, *installed = sys.argv[1:]; "
    "[site.addsitedir(path) for path in installed if path not in sys.path]; "
    "own in sys.path or sys.path.insert(0, own); "
    "from kwsbench.sandbox.worker import main; main()"
)
"""Told the folder that kwsbench lies in and the folders of installed packages, makes importable what the parent has."""

LOCKED = b"locked".ljust(32)
"""Comes before any answer: all that follows came out of a locked child. Its length keeps the arrays aligned."""

JOB = "/job"
ERRORS = {error.__name__: error for error in (CheckFailedError, InputError, KwsbenchError, RefusedError)}
"""Errors that cross the wall as what they are."""

_ANSWER_FD = 3
_OUT_OF_MEMORY = (
    *("allocate memory", "bad_alloc", "bad allocation", "failed to allocate", "out of memory"),
    *("not enough memory", "memoryerror", "no more memory"),
)


def main() -> None:
    """Runs one request and ends the process without a word."""
    answer = _claim_output()
    request, arrays = wire.decode(_read_input())
    lock(Limits(**request["limits"]))
    wire.write(answer, [LOCKED])
    too_much_memory = wire.encode({"outcome": "memory"}, {})
    try:
        pieces = _answer(request, arrays)
    except MemoryError:
        pieces = too_much_memory
    wire.write(answer, [bytes.fromhex(request["nonce"]), *pieces])
    os._exit(0)


def _claim_output() -> int:
    os.dup2(1, _ANSWER_FD)
    os.dup2(2, 1)
    return _ANSWER_FD


def _read_input() -> bytearray:
    with open(0, "rb", buffering=0) as file:
        content = bytearray(os.fstat(0).st_size)
        view = memoryview(content)
        while view:
            view = view[file.readinto(view) or len(view) :]
    os.open(os.devnull, os.O_RDONLY)  # takes the number that is free now: 0
    return content


def _answer(request: dict[str, Any], arrays: wire.Arrays) -> wire.Pieces:
    try:
        files = {name: Path(JOB, name) for name in request["files"]}
        record, results = _call(request["function"], request["request"], arrays, files)
        return wire.encode({"outcome": "returned", "record": record}, results)
    except KwsbenchError as error:
        return wire.encode(_said(error), {})
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a model raises is an answer
        return wire.encode(_failed(error), {})


def _call(
    function: str, request: dict[str, Any], arrays: wire.Arrays, files: Mapping[str, Path]
) -> tuple[dict[str, Any], wire.Arrays]:
    module, _, name = function.partition(":")
    record, results = getattr(importlib.import_module(module), name)(request, arrays, files)
    return record, results


def _said(error: KwsbenchError) -> dict[str, Any]:
    if ran_out_of_memory(error.message):
        return {"outcome": "memory"}
    kind = next(parent.__name__ for parent in type(error).__mro__ if parent.__name__ in ERRORS)
    problems = [asdict(problem) for problem in error.problems]
    return {"outcome": "said", "error": kind, "message": error.message, "problems": problems}


def _failed(error: BaseException) -> dict[str, Any]:
    text = _text(error)
    if ran_out_of_memory(text):
        return {"outcome": "memory"}
    return {"outcome": "failed", "text": text}


def _text(error: BaseException) -> str:
    try:
        words = str(error).strip()
    except Exception:  # noqa: BLE001 - a stranger's exception may fail to say what it is
        words = ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def ran_out_of_memory(text: str) -> bool:
    """Returns whether a library says in `text` that it got no memory: each has words of its own."""
    lower = text.lower()
    return any(words in lower for words in _OUT_OF_MEMORY)


if __name__ == "__main__":
    sys.exit("this module is started by kwsbench.sandbox")
