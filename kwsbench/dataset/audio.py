"""Any audio file as one channel of samples at one rate; and the convention that gives every clip the same length.

`read_any_audio` is for files that people bring along, in whatever form, to hear what a model makes of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt

from kwsbench.errors import InputError, Problem

if TYPE_CHECKING:
    from soundfile import SoundFile

FloatArray = npt.NDArray[np.float32]

_RATES_HZ = (1_000, 400_000)
_MAX_VALUES = 2**30  # three hours of stereo at 48 kHz, 4 GB

# libsndfile shortens a chunk of samples that the file ends within, and only its log says so.
_SHORTENED_CHUNK = re.compile(r"^\s*(?:data|SSND|BODY|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)

# Programs that write into a pipe do not know the length yet, and state one near the largest that fits.
_LENGTH_UNKNOWN_BYTES = 0x7FFF0000
_LENGTH_UNKNOWN_FRAMES = 2**62  # libsndfile then states the largest number that it has

_ID3_HEADER_BYTES = 10
_OGG_PAGE_HEADER_BYTES = 27
_OGG_PAGE_MAX_BYTES = _OGG_PAGE_HEADER_BYTES + 255 + 255 * 255

_FORMATS = "audio that libsndfile reads (WAV, FLAC, OGG, MP3, AIFF and others)"


def read_any_audio(path: Path, sample_rate_hz: int) -> FloatArray:
    """Reads an audio file: its channels are averaged, and it is resampled where its rate is another one.

    Args:
        path: A file in any format that libsndfile reads.
        sample_rate_hz: The rate of the samples to return.

    Returns:
        Float32 of shape (num_samples,); integer formats are scaled to [-1, 1), floating-point ones are left as they
        are. A file at another rate gives ceil(its samples x `sample_rate_hz` / its rate) samples.

    Raises:
        InputError: The file cannot be read, is no audio, is cut off, or holds no samples, samples that are not finite
            numbers, or an absurd rate.
    """
    with opened_audio(path) as audio:
        _check_length(path, audio)
        samples = audio.read(audio.frames, dtype="float32", always_2d=True)
        check_complete(path, audio, len(samples))
        found_rate_hz = audio.samplerate
    samples = samples.mean(axis=1, dtype=np.float32)
    _check_finite(path, samples, found_rate_hz)
    return _resample(samples, found_rate_hz, sample_rate_hz)


@contextmanager
def opened_audio(path: Path) -> Iterator[SoundFile]:
    """Opens an audio file of any length for libsndfile, and turns what that says while the block reads into one error.

    Raises:
        InputError: The file cannot be read, is no audio, is cut off as far as its header tells, or has an absurd rate.
    """
    import soundfile

    _check_readable(path)
    try:
        with _sound_file(path) as audio:
            _check_rate(path, audio.samplerate)
            if not _is_endless(audio):
                _check_shortened(path, audio)
            yield audio
    except soundfile.LibsndfileError as error:
        found = f"a file that is no audio, or is broken or cut off ({error.error_string.rstrip('.')})"
        raise audio_error(path, found, remedy="convert it to WAV") from error


def check_complete(path: Path, audio: SoundFile, num_read: int) -> None:
    """Raises InputError where fewer samples were read than the header states, or none."""
    stated = audio.frames
    if num_read < stated < _LENGTH_UNKNOWN_FRAMES and (audio.format != "MP3" or _mp3_states_its_length(path)):
        raise _cut_off(path, f"{num_read:,} samples", f"{stated:,}, as its header says")
    if not num_read:
        raise audio_error(path, "no samples", "at least one", "record it again")


def fit_length(samples: FloatArray, num_samples: int) -> FloatArray:
    """Gives a clip exactly `num_samples` samples: a longer one is cut at its end, a shorter one ends in zeros.

    Args:
        samples: One clip, shape (any,).
        num_samples: The length to give it.

    Returns:
        Float32 of shape (num_samples,); a view of `samples` where nothing is added.
    """
    kept = samples[:num_samples]
    return np.pad(kept, (0, num_samples - len(kept)))


def audio_error(path: Path, found: str, expected: str = _FORMATS, remedy: str = "") -> InputError:
    """Returns the error to raise for an audio file that cannot be used."""
    return InputError(f"cannot read the audio file {path}", [Problem(str(path), found, expected, remedy)])


def _cut_off(path: Path, found: str, expected: str) -> InputError:
    return audio_error(path, f"a file that is cut off: {found}", expected, "copy or download it again")


def _check_readable(path: Path) -> None:
    """Asks the system before libsndfile does, because libsndfile does not tell a folder from a broken file."""
    try:
        if path.is_dir():
            raise audio_error(path, "a folder", "an audio file", "name the files in it")
        if path.exists() and not path.is_file():
            raise audio_error(path, "a device, a pipe or a socket", "an audio file", "save the audio to a file first")
        with path.open("rb") as handle:
            _check_last_ogg_page(path, handle)
    except FileNotFoundError as error:
        raise audio_error(path, "no such file", "an audio file", "check its name and folder") from error
    except PermissionError as error:
        raise audio_error(
            path, "no permission to read it", "an audio file", "ask its owner to let you read it"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise audio_error(path, f"a file that the system does not open ({reason})", "an audio file") from error


def _check_last_ogg_page(path: Path, handle: BinaryIO) -> None:
    """An Ogg file states no length, but each page does (RFC 3533, section 6): does the last one end in the file?"""
    if handle.read(4) != b"OggS":
        return
    handle.seek(max(0, handle.seek(0, os.SEEK_END) - _OGG_PAGE_MAX_BYTES))
    tail = handle.read()
    page = tail[tail.rfind(b"OggS") :]
    segment_table_end = _OGG_PAGE_HEADER_BYTES + (page[26] if len(page) >= _OGG_PAGE_HEADER_BYTES else 1)
    num_bytes = segment_table_end + sum(page[_OGG_PAGE_HEADER_BYTES:segment_table_end])
    if len(page) < num_bytes:
        raise _cut_off(path, f"its last page ends after {len(page):,} bytes", f"{num_bytes:,} bytes")


def _mp3_states_its_length(path: Path) -> bool:
    """Whether the first frame is the tag that holds the exact length; without it, libsndfile's figure is a guess."""
    with path.open("rb") as handle:
        tag = handle.read(_ID3_HEADER_BYTES)
        if tag.startswith(b"ID3"):  # its size has 7 bits per byte: ID3v2, section 3.1
            handle.seek(_ID3_HEADER_BYTES + sum(byte << 7 * (3 - place) for place, byte in enumerate(tag[6:])))
        else:
            handle.seek(0)
        frame = handle.read(64)
    return b"Xing" in frame or b"Info" in frame


def _sound_file(path: Path) -> SoundFile:
    import soundfile

    try:
        return soundfile.SoundFile(path)
    except TypeError as error:  # what soundfile says to a file whose ending means samples without a header
        raise audio_error(path, "samples without a header, by its ending", remedy="convert it to WAV") from error


def _is_endless(audio: SoundFile) -> bool:
    return bool(audio.frames * audio.channels > _MAX_VALUES)


def _check_length(path: Path, audio: SoundFile) -> None:
    if _is_endless(audio):
        raise audio_error(
            path, "a length that is unknown or absurd", f"at most {_MAX_VALUES:,} values", "convert it to WAV, in parts"
        )


def _check_shortened(path: Path, audio: SoundFile) -> None:
    for stated, present in _SHORTENED_CHUNK.findall(audio.extra_info):
        if int(present) < int(stated) < _LENGTH_UNKNOWN_BYTES:
            raise _cut_off(path, f"{int(present):,} bytes of samples", f"{int(stated):,} bytes, as its header says")


def _check_rate(path: Path, rate_hz: int) -> None:
    lowest, highest = _RATES_HZ
    if not lowest <= rate_hz <= highest:
        raise audio_error(
            path, f"a sample rate of {rate_hz:,} Hz", f"{lowest:,} to {highest:,} Hz", "convert it to WAV"
        )


def _check_finite(path: Path, samples: FloatArray, rate_hz: int) -> None:
    broken = np.flatnonzero(~np.isfinite(samples))
    if len(broken):
        found = f"{len(broken):,} samples that are NaN or infinite, the first at {broken[0] / rate_hz:.3f} s"
        raise audio_error(path, found, "finite numbers", "export it again, as 16-bit WAV for instance")


def _resample(samples: FloatArray, from_hz: int, to_hz: int) -> FloatArray:
    """Polyphase filtering; the filter is SciPy's: a windowed sinc that ends at half the lower of the two rates."""
    if from_hz == to_hz:
        return samples
    from scipy.signal import resample_poly

    common = gcd(from_hz, to_hz)
    resampled: FloatArray = resample_poly(samples, to_hz // common, from_hz // common).astype(np.float32, copy=False)
    return resampled
