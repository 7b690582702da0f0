"""The binding to the espeak-ng library, and the program that speaks a list of words with it.

Inside one process espeak-ng says the same word a little differently each time, because oscillators and filters keep
their state. A fresh process that makes the same calls in the same order gives the same bytes, once the generator of
breath noise, which espeak-ng seeds with the time of day, has a seed of its own. So this file is also a program: it
reads one request (JSON) from stdin, speaks, and writes the answer to stdout, a line of JSON followed by the PCM. It
needs the standard library alone and starts in a few hundredths of a second. `kwsbench.dataset.speech` starts it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from dataclasses import dataclass
from typing import Any

# Of speak_lib.h, espeak-ng 1.52.
_SYNCHRONOUS, _DONT_EXIT = 2, 0x8000
_UTF8 = 1
_RATE, _PITCH, _PITCH_RANGE = 1, 3, 4
_SEED = 1
_FUNCTIONS = (
    "espeak_Initialize",
    "espeak_Info",
    "espeak_SetSynthCallback",
    "espeak_SetVoiceByName",
    "espeak_SetParameter",
    "espeak_Synth",
    "espeak_Synchronize",
    "espeak_ng_SetRandSeed",
)
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class EspeakError(Exception):
    """espeak-ng cannot do what it is asked to; the message says what."""


@dataclass(frozen=True)
class Utterance:
    """A text and how to say it.

    Attributes:
        text: What to say.
        words_per_minute: Speaking rate, 80 to 450.
        pitch: Base pitch, 0 to 100; 50 is the voice's own.
        pitch_range: Liveliness of the intonation, 0 (monotone) to 100; 50 is the voice's own.
    """

    text: str
    words_per_minute: int
    pitch: int
    pitch_range: int


class Engine:
    """The espeak-ng library of this process; its state is global, so there is one engine per process.

    Args:
        library: Path of the shared library.
        data: Path of the folder `espeak-ng-data`, short: espeak-ng keeps 160 bytes of it.

    Attributes:
        sample_rate_hz: Rate of everything that is spoken.
        version: Version of espeak-ng.

    Raises:
        EspeakError: The library cannot be loaded, is another one, or does not find its data.
    """

    def __init__(self, library: str, data: str) -> None:
        self._library = _load(library)
        self._chunks: list[bytes] = []
        # ctypes frees a callback that nobody refers to.
        self._callback = _Callback(self._collect)
        self.sample_rate_hz: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data), _DONT_EXIT)
        found = ctypes.c_char_p()
        self.version: str = self._library.espeak_Info(ctypes.byref(found)).decode()
        # Where espeak-ng does not find its data, it looks in the place where it was compiled.
        if self.sample_rate_hz <= 0 or found.value != os.fsencode(data):
            raise EspeakError(f"espeak-ng {self.version} cannot use the data in {data}")
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))

    def choose_voice(self, voice: str) -> None:
        """Speaks with this voice from now on: a language, or language+variant, such as `en-us+f3`.

        Raises:
            EspeakError: There is no such language. An unknown variant goes unnoticed: espeak-ng ignores it.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise EspeakError(f"espeak-ng {self.version} has no voice {voice!r}")

    def speak(self, utterance: Utterance) -> bytes:
        """Returns the utterance as mono 16-bit PCM in this machine's byte order.

        Raises:
            EspeakError: espeak-ng reports a failure.
        """
        self._set(_RATE, utterance.words_per_minute)
        self._set(_PITCH, utterance.pitch)
        self._set(_PITCH_RANGE, utterance.pitch_range)
        self._chunks.clear()
        text = utterance.text.encode() + b"\0"
        code = self._library.espeak_Synth(text, len(text), 0, 1, 0, _UTF8, None, None)
        if code != 0 or self._library.espeak_Synchronize() != 0:
            raise EspeakError(f"espeak-ng {self.version} cannot say {utterance.text!r} (code {code})")
        return b"".join(self._chunks)

    def _set(self, parameter: int, value: int) -> None:
        if self._library.espeak_SetParameter(parameter, value, 0) != 0:
            raise EspeakError(f"espeak-ng {self.version} refuses the value {value} for its parameter {parameter}")

    def _collect(self, samples: int | None, num_samples: int, _events: int | None) -> int:
        if samples and num_samples > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * num_samples))
        return 0


def _load(path: str) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise EspeakError(f"the espeak-ng library cannot be loaded: {error}") from error
    missing = [name for name in _FUNCTIONS if not hasattr(library, name)]
    if missing:
        raise EspeakError(f"{path} is not the library of espeak-ng 1.52 or newer: it lacks {', '.join(missing)}")
    library.espeak_Info.restype = ctypes.c_char_p
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    return library


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    try:
        engine = Engine(request["library"], request["data"])
        engine.choose_voice(request["voice"])
        spoken = [engine.speak(Utterance(**utterance)) for utterance in request["utterances"]]
    except EspeakError as error:
        return {"error": str(error)}, []
    sizes_bytes = [len(pcm) for pcm in spoken]
    return {"version": engine.version, "sample_rate_hz": engine.sample_rate_hz, "sizes_bytes": sizes_bytes}, spoken


def _main() -> None:
    # Ctrl-C reaches every process of the terminal; stopping is up to the one that started this program.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    header, spoken = _answer(json.loads(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + b"".join(spoken))


if __name__ == "__main__":
    _main()
