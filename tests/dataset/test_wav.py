"""The WAV reader: takes 16-bit mono PCM at the right rate, names everything else, and hashes what `wave` reads."""

from __future__ import annotations

import hashlib
import os
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.dataset.wav import Excerpt, WavError, cut, fingerprints, read_pcm
from tests.conftest import RATE_HZ, pcm_of, write_wav

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200, database=None)

PCM = pcm_of("clip", 1_600)
_PCM_TAG, _EXTENSIBLE_TAG = 1, 0xFFFE
_GUID_END = b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _fmt(tag: int = _PCM_TAG, channels: int = 1, rate_hz: int = RATE_HZ, bits: int = 16) -> bytes:
    block = channels * bits // 8
    return _chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * block, block, bits))


def _extensible(subformat: int) -> bytes:
    plain = struct.pack("<HHIIHH", _EXTENSIBLE_TAG, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    return _chunk(b"fmt ", plain + struct.pack("<HHIH", 22, 16, 4, subformat) + _GUID_END)


def _riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


GOOD = _riff(_fmt(), _chunk(b"data", PCM))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A path for a clip; nothing is there yet."""
    return tmp_path / "clip.wav"


def _found(path: Path) -> str:
    with pytest.raises(WavError) as caught:
        read_pcm(path, RATE_HZ)
    problem = caught.value.problem("yes/a.wav")
    assert problem.where == "yes/a.wav"
    assert problem.expected
    return problem.found


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        _riff(_extensible(_PCM_TAG), _chunk(b"data", PCM)),
        _riff(_fmt(), _chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0\0"), _chunk(b"data", PCM)),
        _riff(_chunk(b"JUNK", b"odd"), _fmt(), _chunk(b"fact", bytes(4)), _chunk(b"data", PCM)),
        _riff(_fmt(), _chunk(b"data", PCM), _chunk(b"id3 ", b"after")),
        _riff(_fmt(), _chunk(b"data", PCM)) + b"trailing bytes",
        _riff(_fmt(), _chunk(b"data", PCM + b"\x07")),
    ],
    ids=["plain", "extensible", "list before data", "odd chunk before fmt", "id3 after data", "trailing", "odd byte"],
)
def test_pcm_is_read_from_every_honest_form(clip: Path, data: bytes) -> None:
    """Extra chunks, the extensible header and a stray byte at the end change nothing about the samples."""
    clip.write_bytes(data)
    assert bytes(read_pcm(clip, RATE_HZ)) == PCM


def test_the_wav_of_another_library_is_read(clip: Path) -> None:
    """Files by libsndfile, plain and extensible, give the samples that were written."""
    samples = np.frombuffer(PCM, dtype="<i2")
    for kind in ("WAV", "WAVEX"):
        soundfile.write(clip, samples, RATE_HZ, subtype="PCM_16", format=kind)
        assert bytes(read_pcm(clip, RATE_HZ)) == PCM


@PROPERTY
@given(st.integers(1, 3_000), st.integers(0, 2**32))
def test_the_hash_is_that_of_the_samples(tmp_path_factory: pytest.TempPathFactory, length: int, seed: int) -> None:
    """Length and SHA-256 are those of the PCM that the standard library reads from the same file."""
    path = write_wav(tmp_path_factory.getbasetemp() / "hashed.wav", pcm_of(str(seed), length))
    with wave.open(str(path)) as file:
        pcm = file.readframes(file.getnframes())
    (found,) = fingerprints(path, [Excerpt()], RATE_HZ)
    assert (found.num_samples, found.pcm_sha256) == (length, hashlib.sha256(pcm).hexdigest())


def test_excerpts_are_hashed_by_themselves(clip: Path) -> None:
    """Each stretch of a file has the length and the hash of its own samples."""
    write_wav(clip, PCM)
    first, last = fingerprints(clip, [Excerpt(0, 100), Excerpt(1_500, 100)], RATE_HZ)
    assert first.pcm_sha256 == hashlib.sha256(PCM[:200]).hexdigest()
    assert last.pcm_sha256 == hashlib.sha256(PCM[3_000:]).hexdigest()
    assert first.num_samples == last.num_samples == 100


def test_an_excerpt_beyond_the_end_is_an_error() -> None:
    """A stretch that the file does not reach to is named with what is there and what is needed."""
    with pytest.raises(WavError) as caught:
        cut(memoryview(PCM), Excerpt(1_501, 100))
    assert str(caught.value.problem("rain.wav")).startswith("rain.wav: found 1,600 samples, expected at least 1,601")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file (0 bytes)"),
        (b"R", "no WAV file"),
        (b"<!DOCTYPE html>", "no WAV file"),
        (b"RIFF\x04\0\0\0AVI ", "no WAV file"),
        (b"RF64" + GOOD[4:], "no WAV file"),
        (_riff(), "without a format header"),
        (_riff(_chunk(b"data", PCM), _fmt()), "without a format header"),
        (_riff(_chunk(b"fmt ", bytes(8)), _chunk(b"data", PCM)), "without a format header"),
        (_riff(_fmt()), "without samples"),
        (_riff(_fmt(), _chunk(b"data", b"")), "without samples"),
        (_riff(_fmt(), _chunk(b"data", b"\x01")), "without samples"),
        (GOOD[:-1], "cut off"),
        (GOOD[:44], "cut off"),
        (GOOD[:30], "cut off"),
        (_riff(_fmt(), _chunk(b"LIST", bytes(10))[:-4]), "cut off"),
        (_riff(_fmt(), b"data" + struct.pack("<I", 0xFFFFFFFF) + PCM), "cut off"),
        (_riff(_fmt(channels=2), _chunk(b"data", PCM)), "16000 Hz stereo 16-bit PCM"),
        (_riff(_fmt(channels=6), _chunk(b"data", PCM)), "16000 Hz 6 channels 16-bit PCM"),
        (_riff(_fmt(rate_hz=8_000), _chunk(b"data", PCM)), "8000 Hz mono 16-bit PCM"),
        (_riff(_fmt(bits=8), _chunk(b"data", PCM)), "16000 Hz mono 8-bit PCM"),
        (_riff(_fmt(bits=24), _chunk(b"data", PCM)), "16000 Hz mono 24-bit PCM"),
        (_riff(_fmt(tag=3, bits=32), _chunk(b"data", PCM)), "16000 Hz mono 32-bit float"),
        (_riff(_fmt(tag=2, bits=4), _chunk(b"data", PCM)), "4-bit encoding 2"),
        (_riff(_fmt(tag=_EXTENSIBLE_TAG), _chunk(b"data", PCM)), "encoding 65534"),
        (_riff(_extensible(3), _chunk(b"data", PCM)), "16-bit float"),
    ],
)
def test_every_other_form_is_named(clip: Path, data: bytes, found: str) -> None:
    """What is wrong with a file is said in the terms of the file, and what it should be goes with it."""
    clip.write_bytes(data)
    assert found in _found(clip)


@pytest.mark.parametrize(
    ("subtype", "found"),
    [
        ("ALAW", "A-law"),
        ("ULAW", "mu-law"),
        ("FLOAT", "32-bit float"),
        ("PCM_24", "24-bit PCM"),
        ("PCM_U8", "8-bit PCM"),
    ],
)
def test_other_encodings_of_another_library_are_named(clip: Path, subtype: str, found: str) -> None:
    """Files by libsndfile in other encodings are refused by the name of the encoding."""
    soundfile.write(clip, np.zeros(100), RATE_HZ, subtype=subtype)
    assert found in _found(clip)


def test_a_flac_file_with_the_wrong_name_is_no_wav(clip: Path) -> None:
    """The content counts, not the ending of the name."""
    soundfile.write(clip, np.zeros(100), RATE_HZ, format="FLAC")
    assert "no WAV file" in _found(clip)


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    """A missing file, a folder and an impossible name are problems of that clip, not failures."""
    assert _found(tmp_path / "missing.wav") == "no such file"
    assert "Is a directory" in _found(tmp_path)
    assert "null byte" in _found(tmp_path / "a\0b.wav")


@PROPERTY
@given(st.binary(max_size=120))
def test_random_bytes_are_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever the bytes, the reader fails in its one way."""
    path = tmp_path_factory.getbasetemp() / "random.wav"
    path.write_bytes(data)
    with pytest.raises(WavError):
        read_pcm(path, RATE_HZ)


@PROPERTY
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=8), st.booleans())
def test_a_damaged_header_gives_samples_or_an_error(
    tmp_path_factory: pytest.TempPathFactory,
    position: int,
    patch: bytes,
    in_header: bool,  # noqa: FBT001 (drawn)
) -> None:
    """Bytes written over a good file anywhere give whole samples or the reader's one error."""
    path = tmp_path_factory.getbasetemp() / "damaged.wav"
    position = position % 44 if in_header else position
    path.write_bytes(GOOD[:position] + patch + GOOD[position + len(patch) :])
    try:
        pcm = read_pcm(path, RATE_HZ)
    except WavError:
        return
    assert len(pcm) % 2 == 0
    assert 0 < len(pcm) <= len(PCM) + len(patch)


def test_a_pipe_named_like_a_clip_is_refused_at_once(tmp_path: Path) -> None:
    """A FIFO that nobody writes into does not keep the reader waiting."""
    pipe = tmp_path / "clip.wav"
    os.mkfifo(pipe)
    with pytest.raises(WavError, match="pipe"):
        read_pcm(pipe, 16_000)
