"""An audio file of any length as a stream: an hour of it takes no more memory than a minute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kwsbench.dataset.audio import (
    _MAX_VALUES,
    _check_length,
    _check_rate,
    _check_readable,
    _cut_off,
    _mp3_states_its_length,
    _refusal,
)
from kwsbench.listen.resampling import resampled

if TYPE_CHECKING:
    from soundfile import SoundFile

_VALUES_PER_READ = 2**18
_LENGTH_UNKNOWN = 2**62  # libsndfile states the largest number that it has
_SAMPLES_PER_BLOCK = 2**20  # a minute: models that run in the sandbox are started once per block


def check_sound_file(path: Path) -> None:
    """Raises InputError where a file cannot be read, is no audio or is cut off, as far as its header tells."""
    with _opened(path):
        pass


def stream_file(path: Path, sample_rate_hz: int) -> Iterator[NDArray[np.float32]]:
    """Reads an audio file block by block; joined, the blocks are what `kwsbench.dataset.audio.read_any_audio` returns.

    Files that `read_any_audio` finds too long are read, too.

    Args:
        path: A file in any format that libsndfile reads.
        sample_rate_hz: The rate of the samples to return.

    Yields:
        Float32 of shape (samples,), about a minute at a time.

    Raises:
        InputError: As `read_any_audio`, but only when the stream gets there.
    """
    with _opened(path) as audio:
        yield from _joined(resampled(_decoded(path, audio), audio.samplerate, sample_rate_hz), _SAMPLES_PER_BLOCK)


@contextmanager
def _opened(path: Path) -> Iterator[SoundFile]:
    import soundfile

    _check_readable(path)
    try:
        with _sound_file(path) as audio:
            _check_rate(path, audio.samplerate)
            if audio.frames * audio.channels <= _MAX_VALUES:
                _check_length(path, audio)
            yield audio
    except soundfile.LibsndfileError as error:
        found = f"a file that is no audio, or is broken or cut off ({error.error_string.rstrip('.')})"
        raise _refusal(path, found, remedy="convert it to WAV") from error


def _sound_file(path: Path) -> SoundFile:
    import soundfile

    try:
        return soundfile.SoundFile(path)
    except TypeError as error:  # what soundfile says to a file whose ending means samples without a header
        raise _refusal(path, "samples without a header, by its ending", remedy="convert it to WAV") from error


def _decoded(path: Path, audio: SoundFile) -> Iterator[NDArray[np.float32]]:
    num_frames = max(1, _VALUES_PER_READ // audio.channels)
    num_read = 0
    while len(read := audio.read(num_frames, dtype="float32", always_2d=True)):
        samples = read.mean(axis=1, dtype=np.float32)
        broken = np.flatnonzero(~np.isfinite(samples))
        if len(broken):
            found = f"a sample that is NaN or infinite at {(num_read + broken[0]) / audio.samplerate:.3f} s"
            raise _refusal(path, found, "finite numbers", "export it again, as 16-bit WAV for instance")
        yield samples
        num_read += len(samples)
    _check_complete(path, audio, num_read)


def _check_complete(path: Path, audio: SoundFile, num_read: int) -> None:
    stated = audio.frames
    if num_read < stated < _LENGTH_UNKNOWN and (audio.format != "MP3" or _mp3_states_its_length(path)):
        raise _cut_off(path, f"{num_read:,} samples", f"{stated:,}, as its header says")
    if not num_read:
        raise _refusal(path, "no samples", "at least one", "record it again")


def _joined(blocks: Iterable[NDArray[np.float32]], num_samples: int) -> Iterator[NDArray[np.float32]]:
    """The same stream in blocks of at least so many samples, but for the last one."""
    held: list[NDArray[np.float32]] = []
    for block in blocks:
        held.append(block)
        if sum(map(len, held)) >= num_samples:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)
