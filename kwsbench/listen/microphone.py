"""The microphone as a stream, through PortAudio (library `sounddevice`)."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.errors import InputError
from kwsbench.extras import import_extra
from kwsbench.listen.resampling import resampled

_BLOCK_S = 0.05
_MOST_BEHIND_S = 60
_PATIENCE_S = 1.0

_BUSY = "The computer was too busy: some of what the microphone heard is lost."


@dataclass(frozen=True, eq=False)
class Microphone:
    """An open microphone.

    Attributes:
        name: What the system calls it.
        blocks: What it hears, at the rate that was asked for, shapes (samples,); it ends with an exception only.
    """

    name: str
    blocks: Iterator[NDArray[np.float32]]


@contextmanager
def open_microphone(sample_rate_hz: int, say: Callable[[str], None]) -> Iterator[Microphone]:
    """Opens the microphone that the system prefers; one that has another rate is resampled.

    Everything that was heard since the last block is the next block, so that a slow model falls behind by no more than
    the time that it takes for one.

    Args:
        sample_rate_hz: The rate of the blocks.
        say: Told once where samples are lost.

    Raises:
        InputError: The library or PortAudio is missing, there is no microphone, it cannot be opened, it stops, or the
            model is a minute behind.
    """
    sounddevice = _import_sounddevice()
    heard: queue.Queue[NDArray[np.float32]] = queue.Queue(round(_MOST_BEHIND_S / _BLOCK_S))
    troubles = _Troubles(say)

    def hear(samples: NDArray[np.float32], _num: int, _time: Any, status: Any) -> None:
        troubles.are_samples_lost |= bool(status.input_overflow)
        try:
            heard.put_nowait(samples[:, 0].copy())
        except queue.Full:
            troubles.is_too_slow = True

    try:
        device = sounddevice.query_devices(kind="input")
        rate_hz = _rate(sounddevice, device, sample_rate_hz)
        block = round(_BLOCK_S * rate_hz)
        stream = sounddevice.InputStream(rate_hz, block, channels=1, dtype="float32", callback=hear)
    except (sounddevice.PortAudioError, ValueError) as error:
        raise InputError(
            f"no microphone can be opened ({error}); plug one in, or name audio files after the model"
        ) from error
    with stream:
        blocks = resampled(_blocks(heard, stream, troubles), rate_hz, sample_rate_hz)
        yield Microphone(str(device["name"]), blocks)


def _import_sounddevice() -> Any:
    try:
        return import_extra("sounddevice", "listen")
    except InputError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise InputError(
            "sounddevice finds no PortAudio, the library that it hears with; install it"
            " (`apt install libportaudio2`, `dnf install portaudio`), or name audio files after the model"
        ) from error
    except Exception as error:  # PortAudio is started by the import, and its error is a class of what is imported
        raise InputError(f"PortAudio does not start ({error}); name audio files after the model") from error


def _rate(sounddevice: Any, device: Any, wanted_hz: int) -> int:
    """The rate that was asked for where the microphone has it, else its own."""
    try:
        sounddevice.check_input_settings(channels=1, dtype="float32", samplerate=wanted_hz)
    except sounddevice.PortAudioError:
        return int(device["default_samplerate"])
    return wanted_hz


class _Troubles:
    """What the thread of the microphone notices, and the listening thread tells."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._has_said = False
        self.are_samples_lost = False
        self.is_too_slow = False

    def tell(self) -> None:
        if self.is_too_slow:
            raise InputError(
                f"the model is too slow: it is {_MOST_BEHIND_S} s behind the microphone; try a longer --shift-s"
            )
        if self.are_samples_lost and not self._has_said:
            self._has_said = True
            self._say(_BUSY)


def _blocks(heard: queue.Queue[NDArray[np.float32]], stream: Any, troubles: _Troubles) -> Iterator[NDArray[np.float32]]:
    while True:
        try:
            blocks = [heard.get(timeout=_PATIENCE_S)]
        except queue.Empty:
            if stream.active:
                continue
            raise InputError("the microphone has stopped; was it unplugged?") from None
        troubles.tell()
        while not heard.empty():
            blocks.append(heard.get_nowait())
        yield np.concatenate(blocks)
