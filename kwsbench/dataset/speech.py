"""Speech from a fresh espeak-ng process for every voice, so that the same words are the same bytes every time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from kwsbench.dataset import espeak
from kwsbench.dataset.espeak import Utterance
from kwsbench.errors import InputError, Problem, did_you_mean

_TIMEOUT_S = 300
_REINSTALL = "pip install --force-reinstall espeakng-loader"


@dataclass(frozen=True)
class Speech:
    """What a voice said.

    Attributes:
        version: Version of espeak-ng.
        sample_rate_hz: Rate of the samples.
        pcm: One mono 16-bit PCM string per utterance, in this machine's byte order.
    """

    version: str
    sample_rate_hz: int
    pcm: tuple[bytes, ...]


@dataclass(frozen=True)
class Installation:
    """Where espeak-ng is installed.

    Attributes:
        library: The shared library.
        data: Its folder `espeak-ng-data`.
    """

    library: Path
    data: Path

    def languages(self) -> list[str]:
        """Returns the languages and accents that a voice name can begin with, such as `en-us`."""
        return sorted(path.name.lower() for path in self.data.glob("lang/**/*") if path.is_file())

    def variants(self) -> list[str]:
        """Returns the variants that can follow the `+` of a voice name, such as `f3`."""
        return sorted(path.name for path in self.data.glob("voices/!v/*") if path.is_file())

    def check_voices(self, voices: Iterable[str]) -> None:
        """Checks that espeak-ng has these voices; by itself it would speak with another one.

        Raises:
            InputError: It lacks some of them; all are named.
        """
        languages, variants = self.languages(), self.variants()
        problems = []
        for voice in voices:
            language, plus, variant = voice.partition("+")
            if language not in languages:
                problems.append(_unknown(voice, "language", language, languages))
            if plus and variant not in variants:
                problems.append(_unknown(voice, "variant", variant, variants))
        if problems:
            raise InputError("espeak-ng does not have all voices of the manifest", problems)

    def speak(self, voice: str, utterances: Sequence[Utterance]) -> Speech:
        """Says the utterances, in this order, in a process of their own.

        Args:
            voice: Language, or language+variant, such as `en-us+f3`.
            utterances: What to say, and how.

        Raises:
            InputError: espeak-ng cannot start, crashes, or has no such voice.
        """
        # espeak-ng keeps the path of its data in a short buffer, so it is given relative to the working folder.
        request: dict[str, object] = {
            "library": str(self.library.resolve()),
            "data": self.data.name,
            "voice": voice,
            "utterances": [asdict(utterance) for utterance in utterances],
        }
        header, pcm = _run(request, self.data.parent)
        cuts = accumulate(header["sizes_bytes"], initial=0)
        parts = tuple(pcm[start:end] for start, end in pairwise(cuts))
        return Speech(header["version"], header["sample_rate_hz"], parts)


def installation() -> Installation:
    """Returns where the package `espeakng-loader` has put espeak-ng.

    Raises:
        InputError: It is not installed, or parts of it are missing.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise InputError(
            "this data set is spoken by espeak-ng, which is not installed: pip install 'kwsbench[espeak]'"
        ) from error
    try:
        found = Installation(Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path()))
    except RuntimeError as error:
        raise InputError(f"espeak-ng is not installed completely ({error}): {_REINSTALL}") from error
    if not found.library.is_file():
        raise InputError(f"espeak-ng is not installed completely ({found.library} is missing): {_REINSTALL}")
    return found


def _unknown(voice: str, part: str, name: str, known: Sequence[str]) -> Problem:
    remedy = did_you_mean(name, known)
    # Of some 140 languages only those of the same family are shown, such as en and en-us.
    family = [other for other in known if other[:2] == name[:2].lower()] if part == "language" else []
    return Problem(f"voice {voice!r}", f"the {part} {name!r}", f"one of {', '.join(family or known)}", remedy)


def _run(request: dict[str, object], folder: Path) -> tuple[dict[str, Any], bytes]:
    command = [sys.executable, "-I", "-S", espeak.__file__]
    sent = json.dumps(request).encode()
    try:
        run = subprocess.run(  # noqa: S603 (this Python, on a file of this package)
            command, input=sent, capture_output=True, cwd=folder, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"espeak-ng cannot be run: {error}") from error
    line, _, pcm = run.stdout.partition(b"\n")
    if run.returncode != 0 or not line:
        said = run.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise InputError(f"espeak-ng stopped with code {run.returncode} ({said or 'it said nothing'}): {_REINSTALL}")
    header = json.loads(line)
    if "error" in header:
        raise InputError(f"{header['error']}; if it should work, try {_REINSTALL}")
    return header, pcm
