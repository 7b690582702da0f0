"""Reads the one audio format of prepared data: WAV with 16-bit mono PCM.

`prepare` and `verify` read every byte of every clip, so this module parses the header itself, with nothing but the
standard library: a clip costs one read and one hash.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kwsbench.errors import Problem

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_ENCODINGS = {_PCM: "PCM", _FLOAT: "float", 6: "A-law", 7: "mu-law"}


class WavError(Exception):
    """A file is not the WAV that it should be; `problem(where)` says how."""

    def __init__(self, found: str, expected: str = "", remedy: str = "") -> None:
        super().__init__(found)
        self._found, self._expected, self._remedy = found, expected, remedy

    def problem(self, where: str) -> Problem:
        """Returns what is wrong with the file `where`."""
        return Problem(where, self._found, self._expected, self._remedy)


@dataclass(frozen=True)
class Excerpt:
    """A clip as it lies in a file: `num_samples` from `start_sample` on; to the end where `num_samples` is None."""

    start_sample: int = 0
    num_samples: int | None = None


@dataclass(frozen=True)
class Fingerprint:
    """What `prepare` notes about a clip: its length, and the SHA-256 of its PCM bytes."""

    num_samples: int
    pcm_sha256: str


def read_pcm(path: str | Path, sample_rate_hz: int) -> memoryview:
    """Returns the samples of a clip as little-endian 16-bit PCM bytes.

    Raises:
        WavError: The file is missing, unreadable, cut off, empty, or no mono 16-bit PCM WAV at that rate.
    """
    try:
        with open(path, "rb", buffering=0, opener=_open_at_once) as handle:
            if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
                raise WavError("a folder, pipe or device", "a WAV file", "remove it")
            data = handle.readall()
    except FileNotFoundError:
        raise WavError("no such file", "a WAV file", "fetch or unpack the audio again") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise WavError(f"a file that cannot be read ({reason})", "a WAV file") from error
    return _samples_of(data, sample_rate_hz)


def _open_at_once(path: str, flags: int) -> int:
    """Opens a pipe too without waiting for somebody to write into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def fingerprints(path: str | Path, excerpts: Sequence[Excerpt], sample_rate_hz: int) -> list[Fingerprint]:
    """Returns length and hash of each excerpt of one file, which is read once. Raises as `read_pcm` does."""
    pcm = read_pcm(path, sample_rate_hz)
    return [_fingerprint(pcm, excerpt) for excerpt in excerpts]


def cut(pcm: memoryview, excerpt: Excerpt) -> memoryview:
    """Returns the PCM bytes of an excerpt.

    Raises:
        WavError: The audio ends before the excerpt does.
    """
    if excerpt.num_samples is None:
        return pcm[2 * excerpt.start_sample :]
    end = 2 * (excerpt.start_sample + excerpt.num_samples)
    if end > len(pcm):
        raise WavError(f"{len(pcm) // 2:,} samples", f"at least {end // 2:,}", "fetch or unpack the audio again")
    return pcm[2 * excerpt.start_sample : end]


def _fingerprint(pcm: memoryview, excerpt: Excerpt) -> Fingerprint:
    part = cut(pcm, excerpt)
    return Fingerprint(len(part) // 2, hashlib.sha256(part).hexdigest())


def _samples_of(data: bytes, sample_rate_hz: int) -> memoryview:
    if not data:
        raise WavError("an empty file (0 bytes)", "a WAV file", "fetch or unpack it again")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise WavError("something that is no WAV file", "RIFF/WAVE audio", "convert it to 16-bit mono WAV")
    chunks = _chunks(data)
    if b"fmt " not in chunks or len(chunks[b"fmt "]) < 16:
        raise WavError("a WAV file without a format header", "a `fmt ` chunk", "fetch or unpack it again")
    _check_format(bytes(chunks[b"fmt "]), sample_rate_hz)
    pcm = chunks.get(b"data")
    if pcm is None or len(pcm) < 2:
        raise WavError("a WAV file without samples", "at least one sample", "remove it or fetch it again")
    return pcm[: len(pcm) // 2 * 2]


def _chunks(data: bytes) -> dict[bytes, memoryview]:
    """Splits RIFF into its chunks, up to and including the samples."""
    view, offset, found = memoryview(data), 12, dict[bytes, memoryview]()
    while offset + 8 <= len(data) and b"data" not in found:
        name, size = struct.unpack_from("<4sI", data, offset)
        if offset + 8 + size > len(data):
            have = len(data) - offset - 8
            where = f"the chunk {name.decode('latin-1')!r}, of which {have:,} are there"
            raise WavError("a file that is cut off", f"{size:,} bytes in {where}", "fetch or unpack it again")
        found[name] = view[offset + 8 : offset + 8 + size]
        offset += 8 + size + size % 2
    return found


def _check_format(header: bytes, sample_rate_hz: int) -> None:
    encoding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", header)
    if encoding == _EXTENSIBLE and len(header) >= 26:
        (encoding,) = struct.unpack_from("<H", header, 24)
    if (encoding, channels, rate, bits) == (_PCM, 1, sample_rate_hz, 16):
        return
    shown = {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
    raise WavError(
        f"{rate} Hz {shown} {bits}-bit {_ENCODINGS.get(encoding, f'encoding {encoding}')}",
        f"{sample_rate_hz} Hz mono 16-bit PCM",
        f"convert it, e.g. `sox IN.wav -r {sample_rate_hz} -c 1 -b 16 -e signed-integer OUT.wav`",
    )
