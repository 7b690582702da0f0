"""What a model may use: system calls, memory, time, files and words, each with a small limit that is really reached."""

from __future__ import annotations

import errno
import platform
import time

import pytest

from kwsbench.errors import InputError, RefusedError
from kwsbench.sandbox import Limits, confine, inside, process, require_inside
from tests.sandbox.conftest import InSandbox
from tests.sandboxed import needs_sandbox

HAS_FILTER = platform.machine() in {"x86_64", "aarch64"}
needs_filter = pytest.mark.skipif(not HAS_FILTER, reason="there is no filter of system calls for this processor")

SMALL = Limits(memory_bytes=256 << 20, cpu_s=1, wall_s=20)


def test_outside_nothing_that_can_run_code_is_loaded() -> None:
    """In the user's own process the loaders of risky formats refuse."""
    assert not inside()
    with pytest.raises(RefusedError, match="in the sandbox only"):
        require_inside()


@needs_sandbox
def test_inside_it_is_loaded(in_sandbox: InSandbox) -> None:
    """In the locked child the same loaders go ahead."""
    assert in_sandbox("friendly:where").record == {"inside": True}


@needs_sandbox
@needs_filter
def test_system_calls_that_no_model_needs_are_denied(in_sandbox: InSandbox) -> None:
    """No process, program, socket, namespace or uncounted memory; what is younger than the table does not exist."""
    errors = in_sandbox("hostile:system_calls").record
    missing = {"youngest": errno.ENOSYS, "clone3": errno.ENOSYS}
    assert errors == {**dict.fromkeys(errors, errno.EPERM), **missing}


@needs_sandbox
@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is a format of x86-64")
def test_a_system_call_in_a_foreign_format_kills(in_sandbox: InSandbox) -> None:
    """The x32 format, with which a filter of numbers could be passed by, ends the child."""
    with pytest.raises(InputError, match="SIGSYS"):
        in_sandbox("hostile:foreign_system_call")


@needs_sandbox
def test_limits_cannot_be_raised_again(in_sandbox: InSandbox) -> None:
    """The hard limits are lowered with the soft ones."""
    kept = in_sandbox("hostile:raise_limits", limits=Limits(memory_bytes=1 << 30, cpu_s=5, file_bytes=1 << 20)).record
    assert kept.pop("CPU") in {6, 7}
    libraries = 16 << 30
    sizes = {"DATA": 1 << 30, "AS": (1 << 30) + libraries, "FSIZE": 1 << 20, "STACK": 8 << 20}
    assert kept == {**sizes, "NOFILE": 256, "CORE": 0, "MSGQUEUE": 0}


@needs_sandbox
def test_threads_still_work(in_sandbox: InSandbox) -> None:
    """PyTorch and onnxruntime start threads; the filter and the limit on processes let them."""
    assert in_sandbox("friendly:in_thread").record == {"answers": [42]}


@needs_sandbox
def test_memory_is_limited(in_sandbox: InSandbox) -> None:
    """A model that grows is stopped at the limit, and the message says which it is."""
    with pytest.raises(RefusedError, match=r"model\.pt needs more than 256\.0 MiB of memory"):
        in_sandbox("hostile:eat_memory", limits=SMALL)


@needs_sandbox
@needs_filter
def test_memory_that_the_limit_does_not_count_is_denied(in_sandbox: InSandbox) -> None:
    """Shared memory and mappings that grow downwards are no way around the limit."""
    assert in_sandbox("hostile:map_memory").record == {"shared": errno.EPERM, "growing down": errno.EPERM}


@needs_sandbox
def test_addresses_are_limited(in_sandbox: InSandbox) -> None:
    """Mapping files without end, which costs the kernel memory, ends a little above the limit."""
    reply = in_sandbox("hostile:reserve_addresses", {"file_bytes": 1 << 20}, limits=SMALL)
    assert reply.record["bytes"] <= 17 << 30


@needs_sandbox
@pytest.mark.parametrize(
    ("ignore", "message"),
    [(False, "more than 1 s of processor time"), (True, r"killed \(signal 9\): it took more processor time")],
    ids=["heeded", "ignored"],
)
def test_processor_time_is_limited(in_sandbox: InSandbox, ignore: bool, message: str) -> None:  # noqa: FBT001
    """A model that computes for ever is stopped, also when it ignores the warning."""
    with pytest.raises(RefusedError, match=message):
        in_sandbox("hostile:loop", {"ignore": ignore}, limits=SMALL)


@needs_sandbox
@pytest.mark.parametrize("task", ["sleep", "sleep_in_silence", "print_for_ever"])
def test_time_is_limited(in_sandbox: InSandbox, task: str) -> None:
    """A model that waits, that pretends to have ended, or that prints for ever is stopped by the clock."""
    with pytest.raises(RefusedError, match=r"model\.pt did not finish in 1 s"):
        in_sandbox(f"hostile:{task}", limits=Limits(wall_s=1))


@needs_sandbox
def test_files_are_limited(in_sandbox: InSandbox) -> None:
    """One file in the private /tmp cannot become larger than the limit, not even in name."""
    reply = in_sandbox("hostile:grow_file", {"bytes": (1 << 20) + 1}, limits=Limits(file_bytes=1 << 20))
    assert reply.record == {"error": errno.EFBIG}


@needs_sandbox
def test_the_answer_is_limited(in_sandbox: InSandbox) -> None:
    """An answer that is too large is not read to its end."""
    with pytest.raises(RefusedError, match=r"an answer of more than 1\.0 MiB"):
        in_sandbox("hostile:giant_answer", limits=Limits(reply_bytes=1 << 20))


@needs_sandbox
def test_giant_json_is_refused(in_sandbox: InSandbox) -> None:
    """JSON, which grows many times when it is parsed, has a limit of its own."""
    with pytest.raises(RefusedError, match="malformed"):
        in_sandbox("hostile:giant_text")


def test_of_what_is_printed_only_the_end_is_kept() -> None:
    """A child that prints megabytes costs the parent 64 KiB."""
    command = ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo end >&2"]
    with process.bytes_in_memory("nothing", []) as stdin:
        ending = process.run(command, stdin=stdin, inherit=[], wall_s=20, answer_bytes=0)
    assert len(ending.printed) == 64 << 10
    assert ending.printed.endswith("xxend\n")


def test_the_probe_of_the_machine_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether there is a sandbox is found out once in a process."""
    confine.unavailable_reason()
    monkeypatch.setattr(confine, "_why_bwrap_fails", lambda _: time.sleep(1000))
    confine.unavailable_reason()
