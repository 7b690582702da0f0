"""Calls one function of kwsbench in the sandbox, and turns whatever becomes of it into an answer or one clear error."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from kwsbench.errors import RefusedError
from kwsbench.sandbox import confine, wire, worker
from kwsbench.sandbox.aftermath import NONCE_BYTES, Aftermath
from kwsbench.sandbox.limits import Limits
from kwsbench.sandbox.process import Ending, bytes_in_memory, run


@dataclass(frozen=True)
class Reply:
    """What the function returned; a stranger's code may have had a hand in it.

    Attributes:
        record: JSON.
        arrays: Raw arrays, writable, by name.
    """

    record: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def call(  # noqa: PLR0913
    function: str,
    request: dict[str, Any],
    arrays: Mapping[str, NDArray[Any]] | None = None,
    files: Mapping[str, bytes] | None = None,
    *,
    what: str,
    folders: Sequence[Path] = (),
    python_path: Sequence[Path] = (),
    limits: Limits | None = None,
) -> Reply:
    """Calls `function(request, arrays, files)` in a child that bubblewrap confines.

    Args:
        function: `"package.module:name"` of kwsbench's own code; it returns a record (JSON) and arrays by name.
        request: JSON for it.
        arrays: Arrays for it, of the kinds in `wire.DTYPES`.
        files: Bytes that it sees as read-only files; it gets their paths.
        what: Names the model in messages (`model.pt`).
        folders: Folders or files that it sees, read-only, at their own path.
        python_path: Folders like `folders` that it can import from, too.
        limits: What it may use.

    Returns:
        What it returned.

    Raises:
        KwsbenchError: What the function raised, as the same class.
        InputError: The function failed in another way, or the child crashed.
        RefusedError: There is no sandbox, a limit was reached, or the answer is not one.
    """
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise RefusedError(_only_in_sandbox(what, confine.unavailable_reason()))
    limits = limits or Limits()
    nonce = secrets.token_bytes(NONCE_BYTES)
    order = {"function": function, "request": request, "nonce": nonce.hex(), "limits": asdict(limits)}
    frame = wire.encode({**order, "files": list(files or {})}, arrays or {})
    try:
        ending = _run(bwrap, frame, files or {}, [*folders, *python_path], python_path, limits)
    except OSError as error:
        raise RefusedError(_only_in_sandbox(what, confine.failure(bwrap, str(error)))) from error
    if not ending.answer.startswith(worker.LOCKED) and ending.cut is None:
        raise RefusedError(_only_in_sandbox(what, confine.failure(bwrap, ending.printed)))
    record, results = Aftermath(what, limits, ending).answer(nonce)
    return Reply(record, results)


def _only_in_sandbox(what: str, reason: str | None) -> str:
    return f"{what} can run code and is opened in the sandbox only, but {reason}"


def _run(  # noqa: PLR0913, PLR0917
    bwrap: str,
    frame: wire.Pieces,
    files: Mapping[str, bytes],
    folders: Sequence[Path],
    python_path: Sequence[Path],
    limits: Limits,
) -> Ending:
    imports = [*confine.import_folders(), *(path.absolute() for path in python_path)]
    arguments = ["-I", "-B", "-c", worker.START_CODE, *map(str, imports)]
    with ExitStack() as stack:
        stdin = stack.enter_context(bytes_in_memory("request", frame))
        shown = {
            f"{worker.JOB}/{_plain(name)}": stack.enter_context(bytes_in_memory("file", [content]))
            for name, content in files.items()
        }
        command = confine.command(arguments, bwrap=bwrap, tmp_bytes=limits.file_bytes, folders=folders, files=shown)
        most = limits.reply_bytes + len(worker.LOCKED) + NONCE_BYTES
        return run(command, stdin=stdin, inherit=list(shown.values()), wall_s=limits.wall_s, answer_bytes=most)


def _plain(name: str) -> str:
    if Path(name).name != name:
        raise ValueError(f"{name!r} is no file name")
    return name
