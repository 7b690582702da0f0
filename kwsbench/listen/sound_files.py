"""An audio file of any length as a stream: an hour of it takes no more memory than a minute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kwsbench.dataset.audio import audio_error, check_complete, opened_audio
from kwsbench.listen.resampling import resampled

if TYPE_CHECKING:
    from soundfile import SoundFile

_VALUES_PER_READ = 2**18
_SAMPLES_PER_BLOCK = 2**20  # a minute: models that run in the sandbox are started once per block


def check_sound_file(path: Path) -> None:
    """Raises InputError where a file cannot be read, is no audio or is cut off, as far as its header tells."""
    with opened_audio(path):
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
    with opened_audio(path) as audio:
        yield from _joined(resampled(_decoded(path, audio), audio.samplerate, sample_rate_hz), _SAMPLES_PER_BLOCK)


def _decoded(path: Path, audio: SoundFile) -> Iterator[NDArray[np.float32]]:
    num_frames = max(1, _VALUES_PER_READ // audio.channels)
    num_read = 0
    while len(read := audio.read(num_frames, dtype="float32", always_2d=True)):
        samples = read.mean(axis=1, dtype=np.float32)
        broken = np.flatnonzero(~np.isfinite(samples))
        if len(broken):
            found = f"a sample that is NaN or infinite at {(num_read + broken[0]) / audio.samplerate:.3f} s"
            raise audio_error(path, found, "finite numbers", "export it again, as 16-bit WAV for instance")
        yield samples
        num_read += len(samples)
    check_complete(path, audio, num_read)


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
