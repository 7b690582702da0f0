import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.dataset.audio import fit_length, read_any_audio
from kwsbench.errors import InputError, Problem

RATE = 16_000


def tone(num_samples: int = RATE, rate_hz: int = RATE, frequency_hz: float = 440.0) -> npt.NDArray[np.float32]:
    """A tone of half the full scale."""
    return np.sin(2 * np.pi * frequency_hz * np.arange(num_samples) / rate_hz, dtype=np.float32) / 2


def noise(num_samples: int) -> npt.NDArray[np.float32]:
    """Noise that no format compresses away, so that files are long enough to be cut."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, num_samples).astype(np.float32)


def problem_of(path: Path) -> Problem:
    """What `read_any_audio` says is wrong with a file; the file's name is checked here, once for all tests."""
    with pytest.raises(InputError) as refused:
        read_any_audio(path, RATE)
    (problem,) = refused.value.problems
    assert problem.where == str(path)
    assert str(path) in refused.value.message
    assert problem.expected
    return problem


def cut(path: Path, keep: float) -> Path:
    """Truncates a file to a fraction of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "subtype", "tolerance"),
        [
            ("a.wav", "PCM_U8", 1 / 127),
            ("a.wav", "PCM_16", 1 / 32768),
            ("a.wav", "PCM_24", 1e-6),
            ("a.wav", "PCM_32", 1e-6),
            ("a.wav", "FLOAT", 0),
            ("a.wav", "DOUBLE", 0),
            ("a.wav", "ULAW", 0.02),
            ("a.wav", "IMA_ADPCM", 0.05),
            ("a.flac", "PCM_16", 1 / 32768),
            ("a.flac", "PCM_24", 1e-6),
            ("a.aiff", "PCM_16", 1 / 32768),
            ("a.au", "PCM_16", 1 / 32768),
            ("a.caf", "PCM_16", 1 / 32768),
            ("a.ogg", "VORBIS", 0.05),
            ("a.ogg", "OPUS", 0.05),
            ("a.mp3", "MPEG_LAYER_III", 0.05),
        ],
    )
    def test_what_was_written_is_read(self, tmp_path: Path, name: str, subtype: str, tolerance: float) -> None:
        """Every format gives back its samples as float32, as exactly as the format holds them."""
        written = tone()
        soundfile.write(tmp_path / name, written, RATE, subtype=subtype)
        samples = read_any_audio(tmp_path / name, RATE)
        assert samples.dtype == np.float32
        assert len(samples) >= RATE  # a format with blocks fills up its last one
        inside = slice(400, RATE - 400) if tolerance > 0.01 else slice(RATE)  # lossy formats smear the ends
        np.testing.assert_allclose(samples[inside], written[inside], rtol=0, atol=tolerance)

    def test_16_bit_samples_are_divided_by_32768(self, tmp_path: Path) -> None:
        """The 16-bit sample k is exactly k / 32768, so full negative scale is -1 and full positive scale is below 1."""
        written = np.array([-32768, -1, 0, 1, 32767], np.int16)
        soundfile.write(tmp_path / "a.wav", written, RATE)
        np.testing.assert_array_equal(read_any_audio(tmp_path / "a.wav", RATE), written / np.float32(32768))

    @pytest.mark.parametrize("channels", [2, 6])
    def test_channels_are_averaged(self, tmp_path: Path, channels: int) -> None:
        """Several channels become their mean."""
        written = np.stack([tone() * weight for weight in np.linspace(0, 1, channels)], axis=1)
        soundfile.write(tmp_path / "a.wav", written, RATE, subtype="FLOAT")
        np.testing.assert_allclose(read_any_audio(tmp_path / "a.wav", RATE), tone() / 2, atol=1e-6)

    def test_the_content_counts_and_the_ending_does_not(self, tmp_path: Path) -> None:
        """A WAV under another name, with a space and letters that are not ASCII, is read all the same."""
        path = tmp_path / "моя запись.dat"
        soundfile.write(path, tone(), RATE, format="WAV", subtype="FLOAT")
        np.testing.assert_array_equal(read_any_audio(path, RATE), tone())

    @pytest.mark.parametrize("stated", [0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF - 36])
    def test_a_wav_of_unknown_length_is_whole(self, tmp_path: Path, stated: int) -> None:
        """A WAV written through a pipe states the largest length there is, and counts as whole."""
        soundfile.write(tmp_path / "a.wav", tone(), RATE, subtype="PCM_16")
        data = bytearray((tmp_path / "a.wav").read_bytes())
        place = data.index(b"data") + 4
        data[place : place + 4] = struct.pack("<I", stated)
        (tmp_path / "a.wav").write_bytes(data)
        assert len(read_any_audio(tmp_path / "a.wav", RATE)) == RATE

    @pytest.mark.parametrize("with_id3", [False, True])
    def test_an_mp3_without_its_length_is_read(self, tmp_path: Path, *, with_id3: bool) -> None:
        """An MP3 without the frame that states its length is whole, with a tag in front of it or not."""
        path = tmp_path / "a.mp3"
        soundfile.write(path, tone(2 * RATE), RATE, bitrate_mode="CONSTANT", compression_level=0.5)
        data = path.read_bytes()
        music = data[data.index(data[:3], 1) :]
        assert b"Info" in data[:64]
        assert b"Info" not in music
        path.write_bytes(b"ID3\x03\0\0\0\0\x07\x76" + bytes(1014) + music if with_id3 else music)
        assert len(read_any_audio(path, RATE)) >= 2 * RATE


class TestResampling:
    @pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
    def test_a_tone_stays_the_same_tone(self, tmp_path: Path, rate_hz: int) -> None:
        """A tone at any rate becomes the tone sampled at 16 kHz, as long as before, away from its ends."""
        soundfile.write(tmp_path / "a.wav", tone(rate_hz, rate_hz), rate_hz, subtype="FLOAT")
        samples = read_any_audio(tmp_path / "a.wav", RATE)
        assert samples.shape == (RATE,)
        assert samples.dtype == np.float32
        np.testing.assert_allclose(samples[500:-500], tone()[500:-500], atol=2e-3)

    def test_what_the_lower_rate_cannot_hold_is_gone(self, tmp_path: Path) -> None:
        """A tone above half the new rate is filtered out, at least 50 dB down, instead of folding over."""
        soundfile.write(tmp_path / "a.wav", tone(48_000, 48_000, 12_000.0), 48_000, subtype="FLOAT")
        assert np.abs(read_any_audio(tmp_path / "a.wav", RATE)[500:-500]).max() < 0.5 * 10 ** (-50 / 20)

    def test_the_length_is_rounded_up(self, tmp_path: Path) -> None:
        """A thousand and one samples at 44.1 kHz are ceil(1001 x 16000 / 44100) = 364 at 16 kHz."""
        soundfile.write(tmp_path / "a.wav", tone(1001, 44_100), 44_100)
        assert len(read_any_audio(tmp_path / "a.wav", RATE)) == 364


class TestCutOff:
    @pytest.mark.parametrize("keep", [0.5, 0.9])
    @pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.au", "a.mp3", "a.ogg"])
    def test_a_file_that_lacks_its_end_is_refused(self, tmp_path: Path, name: str, keep: float) -> None:
        """A file whose end is missing is refused with what is there and what its header says."""
        soundfile.write(tmp_path / name, noise(4 * RATE), RATE)
        problem = problem_of(cut(tmp_path / name, keep))
        assert problem.found.startswith("a file that is cut off: ")
        assert problem.remedy == "copy or download it again"

    def test_the_missing_bytes_are_counted(self, tmp_path: Path) -> None:
        """A WAV that lacks one byte says 31,999 of 32,000 bytes."""
        soundfile.write(tmp_path / "a.wav", tone(), RATE, subtype="PCM_16")
        (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:-1])
        problem = problem_of(tmp_path / "a.wav")
        assert problem.found == "a file that is cut off: 31,999 bytes of samples"
        assert problem.expected == "32,000 bytes, as its header says"

    @pytest.mark.parametrize(("name", "keep"), [("a.flac", 0.5), ("a.flac", 0.99), ("a.wav", 0.0005), ("a.ogg", 0.02)])
    def test_a_file_that_cannot_be_decoded_says_that_it_is_broken(self, tmp_path: Path, name: str, keep: float) -> None:
        """A cut that breaks the format itself is refused as broken or cut off."""
        soundfile.write(tmp_path / name, noise(4 * RATE), RATE)
        assert "cut off" in problem_of(cut(tmp_path / name, keep)).found

    @given(keep=st.floats(0, 0.999), name=st.sampled_from(["a.wav", "a.flac", "a.ogg"]))
    @settings(deadline=None, derandomize=True, max_examples=60, database=None)
    def test_no_cut_passes_unseen(self, tmp_path_factory: pytest.TempPathFactory, keep: float, name: str) -> None:
        """Wherever a WAV, FLAC or OGG of one second is cut, it is refused, and never with another error."""
        path = tmp_path_factory.mktemp("cut") / name
        soundfile.write(path, noise(RATE), RATE)
        problem_of(cut(path, keep))

    def test_a_flac_with_fewer_samples_than_it_states(self, tmp_path: Path) -> None:
        """A FLAC whose header states more samples than its frames hold is refused."""
        soundfile.write(tmp_path / "a.flac", tone(), RATE)
        data = bytearray((tmp_path / "a.flac").read_bytes())
        data[22:26] = struct.pack(">I", 2 * RATE)  # the lower 32 bits of the total, RFC 9639 section 8.2
        (tmp_path / "a.flac").write_bytes(data)
        problem_of(tmp_path / "a.flac")


@contextmanager
def without_privileges() -> Iterator[None]:
    """Runs the block as a user who is not root, so that permissions mean something."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


class TestRefusals:
    def test_no_such_file(self, tmp_path: Path) -> None:
        """A name that does not exist is refused with the remedy to check it."""
        problem = problem_of(tmp_path / "none.wav")
        assert (problem.found, problem.remedy) == ("no such file", "check its name and folder")

    def test_a_folder(self, tmp_path: Path) -> None:
        """A folder is refused with the remedy to name the files in it."""
        problem = problem_of(tmp_path)
        assert (problem.found, problem.remedy) == ("a folder", "name the files in it")

    def test_no_permission(self, tmp_path: Path) -> None:
        """A file that may not be read is refused as such."""
        path = tmp_path / "secret.wav"
        soundfile.write(path, tone(), RATE)
        path.chmod(0)
        with without_privileges():
            assert problem_of(path).found == "no permission to read it"

    @pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
    def test_not_a_file(self, tmp_path: Path, kind: str) -> None:
        """A pipe, a socket and a device are refused at once instead of waited for."""
        path = tmp_path / "special"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))
        else:
            path = Path("/dev/zero")
        assert problem_of(path).found == "a device, a pipe or a socket"

    def test_a_name_that_the_system_does_not_take(self, tmp_path: Path) -> None:
        """A file used as a folder is refused with the system's reason."""
        (tmp_path / "file").write_bytes(b"")
        assert "Not a directory" in problem_of(tmp_path / "file" / "a.wav").found

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("empty.wav", b""),
            ("text.wav", b"hello world\n" * 100),
            ("page.mp3", b"<html>not found</html>" * 40),
            ("zip.ogg", b"PK\x03\x04" + bytes(2000)),
            ("samples.raw", bytes(32_000)),
        ],
    )
    def test_not_audio(self, tmp_path: Path, name: str, content: bytes) -> None:
        """Bytes that are no audio are refused, with the formats that are read and the remedy to convert."""
        (tmp_path / name).write_bytes(content)
        problem = problem_of(tmp_path / name)
        assert "WAV, FLAC, OGG, MP3" in problem.expected
        assert problem.remedy == "convert it to WAV"

    @pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.au"])
    def test_no_samples(self, tmp_path: Path, name: str) -> None:
        """A file with a header and no samples is refused."""
        soundfile.write(tmp_path / name, np.zeros(0, np.float32), RATE)
        assert problem_of(tmp_path / name).found == "no samples"

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_samples_that_are_not_finite(self, tmp_path: Path, value: float) -> None:
        """NaN and infinite samples are counted, and the first is placed in time."""
        samples = tone()
        samples[[8_000, 9_000]] = value
        soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
        assert problem_of(tmp_path / "a.wav").found == "2 samples that are NaN or infinite, the first at 0.500 s"

    @pytest.mark.parametrize("rate_hz", [1, 999, 400_001, 2**31 - 1])
    def test_an_absurd_rate(self, tmp_path: Path, rate_hz: int) -> None:
        """A sample rate that no recorder has is refused before anything is resampled."""
        soundfile.write(tmp_path / "a.wav", tone(100), rate_hz)
        assert problem_of(tmp_path / "a.wav").found == f"a sample rate of {rate_hz:,} Hz"

    def test_a_length_that_is_unknown(self, tmp_path: Path) -> None:
        """A FLAC that does not state its length is refused, because nobody can tell whether it is whole."""
        soundfile.write(tmp_path / "a.flac", tone(), RATE)
        data = bytearray((tmp_path / "a.flac").read_bytes())
        data[22:26] = bytes(4)
        (tmp_path / "a.flac").write_bytes(data)
        assert problem_of(tmp_path / "a.flac").found == "a length that is unknown or absurd"


class TestFitLength:
    @pytest.mark.parametrize(("num_samples", "expected"), [(0, []), (2, [1, 2]), (3, [1, 2, 3]), (5, [1, 2, 3, 0, 0])])
    def test_by_hand(self, num_samples: int, expected: list[float]) -> None:
        """A clip is cut at its end or filled up with zeros at its end."""
        fitted = fit_length(np.array([1, 2, 3], np.float32), num_samples)
        assert fitted.tolist() == expected
        assert fitted.dtype == np.float32

    @given(present=st.integers(0, 50), wanted=st.integers(0, 50))
    @settings(deadline=None, derandomize=True, max_examples=200, database=None)
    def test_the_common_part_stays_and_the_rest_is_zero(self, present: int, wanted: int) -> None:
        """What both lengths share is unchanged, and everything after it is zero."""
        clip = np.arange(1, present + 1, dtype=np.float32)
        fitted = fit_length(clip, wanted)
        common = min(present, wanted)
        assert fitted.shape == (wanted,)
        np.testing.assert_array_equal(fitted[:common], clip[:common])
        assert not fitted[common:].any()
