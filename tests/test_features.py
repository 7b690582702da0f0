import librosa
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench import features
from kwsbench.features import dct_matrix, extract, log_mel, mel_filters, mfcc
from kwsbench.front_end import FrontEnd
from tests.memory import takes_at_most

RATE = 16_000

COURSE = FrontEnd(
    kind="log_mel", window_samples=400, hop_samples=160, n_fft=400, num_mels=64, f_max_hz=8000.0, log_floor=1e-9
)
MEL_40 = FrontEnd(kind="log_mel", window_samples=480, hop_samples=160, n_fft=512, num_mels=40, log_floor=1e-6)
SLANEY = MEL_40.model_copy(update={"mel_scale": "slaney", "mel_norm": "slaney", "f_min_hz": 20.0, "f_max_hz": 7600.0})
VARIANTS = {
    "the course's": COURSE,
    "40 bands, 30 ms in 512": MEL_40,
    "slaney scale and norm": SLANEY,
    "slaney scale alone": SLANEY.model_copy(update={"mel_norm": "none"}),
    "slaney norm on the htk scale": SLANEY.model_copy(update={"mel_scale": "htk"}),
    "magnitudes": COURSE.model_copy(update={"power": 1}),
    "not centred": COURSE.model_copy(update={"center": False}),
    "log10": COURSE.model_copy(update={"log": "log10"}),
    "db": MEL_40.model_copy(update={"log": "db"}),
    "odd window": MEL_40.model_copy(update={"window_samples": 401}),
    "bands narrower than a bin": COURSE.model_copy(update={"num_mels": 128, "n_fft": 400}),
}


def speech_like(num_clips: int, num_samples: int = RATE, seed: int = 0) -> npt.NDArray[np.float32]:
    """Harmonics under a moving envelope over noise, rounded to 16 bits as real clips are; the first clip is loud."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(num_samples) / RATE
    pitch_hz = rng.uniform(90, 250, (num_clips, 1))
    phase = 2 * np.pi * (pitch_hz * time_s + 3 * np.sin(2 * np.pi * 2 * time_s))
    voice = sum(np.sin(order * phase) / order**1.5 for order in range(1, 25))
    envelope = np.exp(-(((time_s - rng.uniform(0.3, 0.7, (num_clips, 1))) / 0.15) ** 2))
    noise = rng.standard_normal((num_clips, num_samples)) * 1e-3
    gain = np.linspace(0.35, 0.001, num_clips)[:, None]
    return (np.round(gain * (voice * envelope + noise) * 32768).clip(-32768, 32767) / 32768).astype(np.float32)


def filters_by_librosa(front_end: FrontEnd) -> npt.NDArray[np.float32]:
    """`librosa.filters.mel` with the same settings."""
    return librosa.filters.mel(
        sr=RATE,
        n_fft=front_end.n_fft,
        n_mels=front_end.num_mels,
        fmin=front_end.f_min_hz,
        fmax=front_end.f_max_hz,
        htk=front_end.mel_scale == "htk",
        norm="slaney" if front_end.mel_norm == "slaney" else None,
    )


def log_mel_by_librosa(samples: npt.NDArray[np.float32], front_end: FrontEnd) -> npt.NDArray[np.float64]:
    """`librosa.feature.melspectrogram` in double precision, then the logarithm by its definition."""
    energies = librosa.feature.melspectrogram(
        y=samples.astype(np.float64),
        sr=RATE,
        n_fft=front_end.n_fft,
        win_length=front_end.window_samples,
        hop_length=front_end.hop_samples,
        center=front_end.center,
        pad_mode="reflect",
        power=float(front_end.power),
        n_mels=front_end.num_mels,
        fmin=front_end.f_min_hz,
        fmax=front_end.f_max_hz,
        htk=front_end.mel_scale == "htk",
        norm="slaney" if front_end.mel_norm == "slaney" else None,
    )
    clamped = np.maximum(energies, front_end.log_floor)
    return {"ln": np.log(clamped), "log10": np.log10(clamped), "db": 10 * np.log10(clamped)}[front_end.log]


# librosa warns of bands that no bin falls into; that case is wanted here.
@pytest.mark.filterwarnings("ignore:Empty filters detected")
class TestAgainstLibrosa:
    @pytest.mark.parametrize("name", VARIANTS)
    def test_log_mel_agrees_with_librosa(self, name: str) -> None:
        """Every variant of the log-mel front-end is within 1e-4 of librosa's."""
        samples = speech_like(4)
        ours, theirs = log_mel(samples, VARIANTS[name], RATE), log_mel_by_librosa(samples, VARIANTS[name])
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("name", VARIANTS)
    def test_filters_agree_with_librosa(self, name: str) -> None:
        """The mel bands are librosa's, also where a band is narrower than a bin."""
        np.testing.assert_allclose(
            mel_filters(VARIANTS[name], RATE), filters_by_librosa(VARIANTS[name]), rtol=1e-5, atol=1e-7
        )

    @pytest.mark.parametrize(("num_mfcc", "name"), [(13, "the course's"), (20, "db"), (40, "slaney scale and norm")])
    def test_mfcc_agree_with_librosa(self, num_mfcc: int, name: str) -> None:
        """MFCC are what `librosa.feature.mfcc` makes of the same log-mel energies, within 1e-4."""
        samples, front_end = speech_like(3), VARIANTS[name]
        theirs = librosa.feature.mfcc(S=log_mel_by_librosa(samples, front_end), n_mfcc=num_mfcc)
        ours = mfcc(samples, front_end.with_mfcc(num_mfcc), RATE)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-4)

    def test_a_band_that_no_bin_falls_into_sits_on_the_floor(self) -> None:
        """A band narrower than a bin may hold no bin at all; its energy is the floor then."""
        front_end = VARIANTS["bands narrower than a bin"]
        empty = ~mel_filters(front_end, RATE).any(axis=1)
        assert empty.any()
        on_floor = log_mel(speech_like(1), front_end, RATE)[0, empty]
        np.testing.assert_allclose(on_floor, np.log(1e-9), rtol=1e-6)


def one_frame_by_definition(clip: npt.NDArray[np.float32], frame: int, front_end: FrontEnd) -> list[float]:
    """Log-mel energies of one frame, term by term as the textbook has them: no FFT, no matrices, no padding."""
    length, start = front_end.n_fft, frame * front_end.hop_samples - front_end.n_fft // 2
    offset = (length - front_end.window_samples) // 2
    windowed = np.zeros(length)
    for n in range(front_end.window_samples):
        place = abs(start + offset + n)  # reflected at the first sample
        place = 2 * (len(clip) - 1) - place if place >= len(clip) else place  # and at the last
        windowed[offset + n] = clip[place] * (0.5 - 0.5 * np.cos(2 * np.pi * n / front_end.window_samples))
    steps = np.arange(length)
    energies = [abs(np.sum(windowed * np.exp(-2j * np.pi * k * steps / length))) ** 2 for k in range(length // 2 + 1)]
    top_mel = 2595 * np.log10(1 + 8000 / 700)
    edges = [700 * (10 ** (top_mel * i / (front_end.num_mels + 1) / 2595) - 1) for i in range(front_end.num_mels + 2)]
    result = []
    for low, peak, high in zip(edges, edges[1:], edges[2:], strict=False):
        total = 0.0
        for k, energy in enumerate(energies):
            hz = k * RATE / length
            total += energy * max(0.0, min((hz - low) / (peak - low), (high - hz) / (high - peak)))
        result.append(np.log(max(total, front_end.log_floor)))
    return result


class TestByDefinition:
    @pytest.mark.parametrize("frame", [0, 1, 50, 99, 100])
    @pytest.mark.parametrize("front_end", [COURSE, MEL_40], ids=["course", "mel_40"])
    def test_a_frame_is_the_direct_fourier_sum(self, frame: int, front_end: FrontEnd) -> None:
        """A frame equals the direct Fourier sum over the reflected, windowed samples, at both edges and between."""
        clip = speech_like(1)
        expected = one_frame_by_definition(clip[0], frame, front_end)
        np.testing.assert_allclose(log_mel(clip, front_end, RATE)[0, :, frame], expected, rtol=0, atol=1e-4)

    def test_dct_by_hand(self) -> None:
        """For two bands the orthonormal DCT-II is the sum and the difference over the square root of two."""
        np.testing.assert_allclose(dct_matrix(2, 2), np.array([[1, 1], [1, -1]]) / np.sqrt(2), rtol=1e-6)

    @given(num_mels=st.integers(1, 80))
    @settings(deadline=None, derandomize=True, max_examples=40, database=None)
    def test_dct_rows_are_orthonormal(self, num_mels: int) -> None:
        """The full cosine transform is orthonormal, so it keeps the length of every frame."""
        rows = dct_matrix(num_mels, num_mels).astype(np.float64)
        np.testing.assert_allclose(rows @ rows.T, np.eye(num_mels), atol=1e-6)

    def test_slaney_bands_have_unit_area(self) -> None:
        """The slaney norm gives each band the area 1 over the frequency in Hz."""
        wide = SLANEY.model_copy(update={"n_fft": 16_384})
        areas = mel_filters(wide, RATE).sum(axis=1) * RATE / wide.n_fft
        np.testing.assert_allclose(areas, 1, atol=1e-3)

    def test_a_tone_peaks_in_its_own_band(self) -> None:
        """A tone at 1000 Hz, which is mel 999.99, is loudest in the band whose peak is nearest to it."""
        tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE, dtype=np.float32)[None] / 2
        spacing = 2595 * np.log10(1 + 8000 / 700) / 65
        assert log_mel(tone, COURSE, RATE)[0, :, 50].argmax() == round(999.99 / spacing) - 1


class TestShapes:
    def test_one_second_of_the_course_is_64_by_101(self) -> None:
        """One second at 16 kHz gives the course's input of 64 bands by 101 frames, as float32."""
        result = log_mel(speech_like(2), COURSE, RATE)
        assert result.shape == (2, 64, 101)
        assert result.dtype == np.float32

    def test_extract_follows_the_kind(self) -> None:
        """`extract` computes MFCC for an `mfcc` front-end and log-mel energies for a `log_mel` one."""
        samples, cepstral = speech_like(1), COURSE.with_mfcc(13)
        np.testing.assert_array_equal(extract(samples, cepstral, RATE), mfcc(samples, cepstral, RATE))
        np.testing.assert_array_equal(extract(samples, COURSE, RATE), log_mel(samples, COURSE, RATE))

    def test_no_clips_give_no_rows(self) -> None:
        """Zero clips give an array with zero rows and the usual other sizes."""
        assert mfcc(np.zeros((0, RATE), np.float32), COURSE.with_mfcc(13), RATE).shape == (0, 13, 101)

    @given(num_samples=st.integers(300, 3000), hop=st.integers(1, 400), n_fft=st.integers(2, 500), center=st.booleans())
    @settings(deadline=None, derandomize=True, max_examples=150, database=None)
    def test_frames_are_as_many_as_the_settings_say(
        self, num_samples: int, hop: int, n_fft: int, *, center: bool
    ) -> None:
        """The number of frames is `FrontEnd.num_frames` for every length, hop and transform, odd ones included."""
        front_end = FrontEnd(
            kind="log_mel", window_samples=n_fft, hop_samples=hop, n_fft=n_fft, num_mels=2, center=center
        )
        samples = speech_like(1, num_samples)
        if num_samples < n_fft and not center:
            with pytest.raises(ValueError, match="too short"):
                log_mel(samples, front_end, RATE)
        else:
            assert log_mel(samples, front_end, RATE).shape[2] == front_end.num_frames(num_samples)


class TestProperties:
    def test_doubling_the_amplitude_adds_twice_ln_2(self) -> None:
        """Twice the amplitude is four times the energy: 2 ln 2 more, wherever the floor is not touched."""
        samples = speech_like(1)
        once, twice = log_mel(samples / 4, COURSE, RATE), log_mel(samples / 2, COURSE, RATE)
        above = once > np.log(1e-9) + 1e-3
        assert above.mean() > 0.9
        np.testing.assert_allclose((twice - once)[above], 2 * np.log(2), atol=1e-5)

    def test_silence_is_the_floor(self) -> None:
        """Zeros give the logarithm of the floor everywhere."""
        np.testing.assert_allclose(log_mel(np.zeros((1, RATE), np.float32), COURSE, RATE), np.log(1e-9), rtol=1e-6)

    def test_a_batch_equals_its_clips_one_by_one(self) -> None:
        """The features of a clip are the same to the bit alone and among clips that fill several blocks."""
        samples, front_end = speech_like(23), COURSE.with_mfcc(20)
        alone = np.concatenate([mfcc(samples[i : i + 1], front_end, RATE) for i in range(len(samples))])
        np.testing.assert_array_equal(mfcc(samples, front_end, RATE), alone)

    def test_permuting_clips_permutes_rows(self) -> None:
        """The order of the clips changes the order of the rows and nothing else."""
        samples = speech_like(17)
        order = np.random.default_rng(3).permutation(len(samples))
        np.testing.assert_array_equal(log_mel(samples[order], COURSE, RATE), log_mel(samples, COURSE, RATE)[order])

    @pytest.mark.parametrize("center", [True, False])
    def test_block_size_does_not_matter(self, monkeypatch: pytest.MonkeyPatch, *, center: bool) -> None:
        """Blocks of few frames of one clip, which long recordings need, give what one large block gives."""
        samples, front_end = speech_like(3, 5 * RATE + 77), COURSE.model_copy(update={"center": center})
        whole = log_mel(samples, front_end, RATE)
        monkeypatch.setattr(features, "_SAMPLES_PER_BLOCK", 7 * 400)
        np.testing.assert_allclose(log_mel(samples, front_end, RATE), whole, rtol=0, atol=1e-5)

    def test_temporaries_stay_small(self) -> None:
        """Four hundred clips, or ten minutes in one, take less than 64 MB beside the input and the result."""
        for samples in (np.zeros((400, RATE), np.float32), np.zeros((1, 600 * RATE), np.float32)):
            result_bytes = 4 * len(samples) * COURSE.num_mels * COURSE.num_frames(samples.shape[1])
            with takes_at_most(result_bytes + 64 * 2**20):
                log_mel(samples, COURSE, RATE)

    def test_memory_order_does_not_matter(self) -> None:
        """Samples in column order, double precision or every second row give the same features."""
        samples = speech_like(4)
        expected = log_mel(samples, COURSE, RATE)
        np.testing.assert_array_equal(log_mel(np.asfortranarray(samples), COURSE, RATE), expected)
        np.testing.assert_array_equal(log_mel(samples.astype(np.float64), COURSE, RATE), expected)
        np.testing.assert_array_equal(log_mel(samples[::2], COURSE, RATE), expected[::2])


class TestRefusals:
    @pytest.mark.parametrize(("num_samples", "fits"), [(0, False), (200, False), (201, True)])
    def test_a_clip_too_short_to_reflect(self, num_samples: int, *, fits: bool) -> None:
        """A centred transform of 400 samples needs 201 to reflect, and says so for fewer."""
        samples = speech_like(1, num_samples)
        if fits:
            last_by_definition = one_frame_by_definition(samples[0], 1, COURSE)
            np.testing.assert_allclose(log_mel(samples, COURSE, RATE)[0, :, 1], last_by_definition, rtol=0, atol=1e-4)
        else:
            with pytest.raises(ValueError, match=rf"a clip of {num_samples} samples is too short.*takes 201; pad"):
                log_mel(samples, COURSE, RATE)

    def test_a_clip_too_short_for_one_frame(self) -> None:
        """Without centring, a clip shorter than the transform is refused."""
        with pytest.raises(ValueError, match="399 samples is too short: one frame takes 400"):
            log_mel(speech_like(1, 399), VARIANTS["not centred"], RATE)

    def test_a_single_clip_without_its_axis(self) -> None:
        """One clip as a flat array is refused with the shape that was found and the one that was expected."""
        with pytest.raises(ValueError, match=r"shape \(16000,\), which is not \(clips, num_samples\)"):
            log_mel(speech_like(1)[0], COURSE, RATE)

    @pytest.mark.parametrize("changes", [{"f_max_hz": 8001.0}, {"f_min_hz": 8000.0, "f_max_hz": None}])
    def test_bands_over_half_the_sample_rate(self, changes: dict[str, float]) -> None:
        """Bands that reach over half the sample rate, or have no room below it, are refused."""
        with pytest.raises(ValueError, match="do not fit below half the sample rate, 8000 Hz"):
            log_mel(speech_like(1), COURSE.model_copy(update=changes), RATE)

    def test_mfcc_of_a_log_mel_front_end(self) -> None:
        """MFCC of settings without a number of coefficients are refused."""
        with pytest.raises(ValueError, match="no num_mfcc"):
            mfcc(speech_like(1), COURSE, RATE)

    def test_more_coefficients_than_bands(self) -> None:
        """More coefficients than mel bands are refused, since there are no such cosine terms."""
        with pytest.raises(ValueError, match="41 coefficients cannot be had from 40 mel bands"):
            dct_matrix(41, 40)
