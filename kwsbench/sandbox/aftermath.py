"""What becomes of a call: an answer, or one clear error for whatever ended the child."""

from __future__ import annotations

import contextlib
import hmac
import signal
from dataclasses import dataclass
from typing import Any, NoReturn

from kwsbench.errors import InputError, Problem, RefusedError
from kwsbench.sandbox import wire, worker
from kwsbench.sandbox.limits import Limits
from kwsbench.sandbox.process import Cut, Ending

NONCE_BYTES = 32

_END_LENGTH = 300
_MESSAGE_END_LENGTH = 1_000
_MAX_PROBLEMS = 1_000


@dataclass(frozen=True)
class Aftermath:
    """Reads what is left of a child.

    Attributes:
        what: Names the model in messages.
        limits: What the child was allowed.
        ending: What is left of it.
    """

    what: str
    limits: Limits
    ending: Ending

    def answer(self, nonce: bytes) -> tuple[dict[str, Any], wire.Arrays]:
        """Returns the record and the arrays that the function returned.

        Args:
            nonce: What the child was told to put before its answer.

        Raises:
            KwsbenchError: What the function raised, as the same class.
            InputError: The function failed in another way, or the child crashed.
            RefusedError: A limit was reached, or the answer is not one.
        """
        self._check_ending()
        frame = memoryview(self.ending.answer)[len(worker.LOCKED) :]
        if not frame:
            raise InputError(f"{self.what} ended the program that ran it{self._last_line()}")
        if not hmac.compare_digest(frame[:NONCE_BYTES], nonce):
            raise RefusedError(f"{self.what} wrote into the sandbox's answer, which is not used")
        content, arrays = wire.decode(frame[NONCE_BYTES:])
        return self._record(content), arrays

    def _check_ending(self) -> None:
        if self.ending.cut is Cut.TIME:
            raise RefusedError(f"{self.what} did not finish in {self.limits.wall_s:g} s and was stopped")
        if self.ending.cut is Cut.ANSWER:
            most = _size(self.limits.reply_bytes)
            raise RefusedError(f"{self.what} gave an answer of more than {most} and was stopped")
        if self.ending.exit_code:
            self._died(self.ending.exit_code)

    def _died(self, code: int) -> NoReturn:
        number = code - 128
        if worker.ran_out_of_memory(self.ending.printed):
            self._too_much_memory()
        if number == signal.SIGXCPU:
            raise RefusedError(f"{self.what} took more than {self.limits.cpu_s} s of processor time and was stopped")
        if number == signal.SIGKILL:
            raise RefusedError(
                f"{self.what} was killed (signal 9): it took more processor time than it may, or this machine has no memory left"
            )
        how = f"crashed ({_signal_name(number)})" if number > 0 else f"failed (exit code {code})"
        raise InputError(f"{self.what} {how} while it ran{self._last_line()}")

    def _too_much_memory(self) -> NoReturn:
        raise RefusedError(f"{self.what} needs more than {_size(self.limits.memory_bytes)} of memory and was stopped")

    def _last_line(self) -> str:
        lines = [line for line in self.ending.printed.splitlines() if line.strip()]
        return f": {_one_line(lines[-1])}" if lines else ""

    def _record(self, content: dict[str, Any]) -> dict[str, Any]:
        match content:
            case {"outcome": "returned", "record": dict(record)}:
                return record
            case {"outcome": "memory"}:
                self._too_much_memory()
            case {"outcome": "failed", "text": str(text)}:
                raise InputError(f"{self.what} failed while it ran: {_one_line(text)}")
            case {"outcome": "said", "error": str(kind), "message": str(message), "problems": list(problems)}:
                if kind in worker.ERRORS:
                    raise worker.ERRORS[kind](_one_line(message, _MESSAGE_END_LENGTH), _problems(problems))
        raise RefusedError(f"{self.what}: the sandbox's answer is malformed and is not used")


def _problems(listed: list[Any]) -> list[Problem]:
    return [_problem(fields) for fields in listed[:_MAX_PROBLEMS]]


def _problem(fields: Any) -> Problem:
    match fields:
        case {
            "where": str(where),
            "found": str(found),
            "expected": str(expected),
            "remedy": str(remedy),
            "count": int(n),
        }:
            return Problem(_one_line(where), _one_line(found), _one_line(expected), _one_line(remedy), n)
    raise RefusedError("the sandbox's answer is malformed and is not used: it lists what is no problem")


def _one_line(text: str, end_length: int = _END_LENGTH) -> str:
    """Returns the two ends of a stranger's text in one line: libraries say what is wrong in the first or in the last.

    What would move a terminal's cursor or change its colours is left out.
    """
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= 2 * end_length else f"{line[:end_length]} ... {line[-end_length:]}"


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _size(num_bytes: int) -> str:
    unit, name = (1 << 30, "GiB") if num_bytes >= 1 << 30 else (1 << 20, "MiB")
    return f"{num_bytes / unit:.1f} {name}"
