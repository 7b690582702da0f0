"""The front-ends in torch: what `kwsbench.features` computes, with gradients, whatever surrounds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kwsbench.baseline import load_baseline
from kwsbench.catalogue import baseline_paths, find_manifest
from kwsbench.features import extract
from kwsbench.front_end import FrontEnd
from kwsbench.manifest import read_manifest
from kwsbench.torch_front_end import torch_front_end
from tests.conftest import MANIFESTS

RATE = 16_000
MEL_40 = FrontEnd(kind="log_mel", window_samples=480, hop_samples=160, n_fft=512, num_mels=40, log_floor=1e-6)
SMALL = FrontEnd(kind="log_mel", window_samples=64, hop_samples=32, n_fft=64, num_mels=8)

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU")
    ),
]


def _front_ends() -> dict[str, FrontEnd]:
    """Those of all shipped manifests and baselines, by the name of the first that has them."""
    found = {path.stem: read_manifest(path).front_end for path in MANIFESTS}
    default = find_manifest("speech_commands_v2_12")[0].front_end
    for name in baseline_paths():
        baseline: Any = load_baseline(name)
        found[name] = baseline.front_end(baseline.Config(), default)
    return {
        name: front_end
        for name, front_end in found.items()
        if list(found.values()).index(front_end) == list(found).index(name)
    }


FRONT_ENDS = _front_ends()


def hard_clips(num_samples: int = RATE, seed: int = 0) -> NDArray[np.float32]:
    """A loud tone over what 16 bits leave of silence, loud noise, quiet noise that fades in, a click, and nothing."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(num_samples) / RATE
    noise = rng.standard_normal((2, num_samples))
    clips = np.zeros((5, num_samples))
    clips[0] = 0.9 * np.sin(2 * np.pi * 700 * time_s)
    clips[1] = (0.3 * noise[0]).clip(-1, 1)
    clips[2] = 1e-2 * noise[1] * np.linspace(0, 1, num_samples) ** 4
    clips[3, num_samples // 3] = 1
    return (np.round(clips * 32_768).clip(-32_768, 32_767) / 32_768).astype(np.float32)


def _features(samples: NDArray[np.float32], front_end: FrontEnd, device: str = "cpu") -> NDArray[np.float32]:
    module = torch_front_end(front_end, RATE).to(device)
    return module(torch.from_numpy(samples).to(device)).cpu().numpy()


# The same numbers


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", FRONT_ENDS)
def test_it_is_what_the_scorer_hears(name: str, device: str) -> None:
    """The front-end of every manifest and baseline is within 1e-4 of `features.extract`, on clips hard to get right."""
    samples = hard_clips()
    ours, theirs = _features(samples, FRONT_ENDS[name], device), extract(samples, FRONT_ENDS[name], RATE)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@st.composite
def _settings(draw: st.DrawFn) -> FrontEnd:
    n_fft = draw(st.integers(16, 300))
    num_mels = draw(st.integers(1, 20))
    num_mfcc = draw(st.none() | st.integers(1, num_mels))
    return FrontEnd(
        kind="log_mel" if num_mfcc is None else "mfcc",
        window_samples=draw(st.integers(1, n_fft)),
        hop_samples=draw(st.integers(1, 400)),
        n_fft=n_fft,
        num_mels=num_mels,
        f_min_hz=draw(st.sampled_from([0.0, 20.0, 300.0])),
        f_max_hz=draw(st.sampled_from([None, 4_000.0, 7_600.0])),
        mel_scale=draw(st.sampled_from(["htk", "slaney"])),
        mel_norm=draw(st.sampled_from(["none", "slaney"])),
        power=draw(st.sampled_from([1, 2])),
        center=draw(st.booleans()),
        log=draw(st.sampled_from(["ln", "log10", "db"])),
        log_floor=draw(st.sampled_from([1e-10, 1e-6, 1e-2])),
        num_mfcc=num_mfcc,
    )


@settings(deadline=None, derandomize=True, max_examples=300, database=None)
@given(front_end=_settings(), num_samples=st.integers(301, 900))
def test_any_settings_give_what_the_scorer_hears(front_end: FrontEnd, num_samples: int) -> None:
    """Odd windows and transforms, hops longer than both, either scale, logarithm and power: all within 1e-4."""
    samples = hard_clips(num_samples)
    theirs = extract(samples, front_end, RATE)
    scale = 10 if front_end.log == "db" else 1
    np.testing.assert_allclose(_features(samples, front_end) / scale, theirs / scale, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("num_clips", [0, 1, 3, 4, 5, 13])
def test_a_clip_is_the_same_beside_others(num_clips: int) -> None:
    """Batches of any size give each clip what it gives alone, also where they are computed in several pieces."""
    samples = np.tile(hard_clips(), (3, 1))[:num_clips]
    batch = _features(samples, MEL_40)
    assert batch.shape == (num_clips, 40, 101)
    for clip, features in zip(samples, batch, strict=True):
        np.testing.assert_allclose(_features(clip[None], MEL_40)[0], features, rtol=0, atol=1e-5)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("n_fft", [64, 65])
def test_clips_that_are_too_short_for_the_scorer_are_too_short_here(n_fft: int, *, center: bool) -> None:
    """The shortest clip is the same to the sample, and a shorter one raises ValueError."""
    front_end = SMALL.model_copy(update={"window_samples": n_fft, "n_fft": n_fft, "center": center})
    for num_samples in range(n_fft // 2 - 2, n_fft + 3):
        samples = hard_clips(num_samples)
        try:
            theirs = extract(samples, front_end, RATE)
        except ValueError:
            with pytest.raises(ValueError, match="samples have the shape"):
                _features(samples, front_end)
        else:
            np.testing.assert_allclose(_features(samples, front_end), theirs, rtol=0, atol=1e-4)


def test_one_clip_without_a_batch_is_refused() -> None:
    """A vector is no batch."""
    with pytest.raises(ValueError, match=r"\(16000,\)"):
        torch_front_end(MEL_40, RATE)(torch.zeros(RATE))


def test_bands_that_do_not_fit_are_refused_at_once() -> None:
    """The settings are held against the sample rate when the module is made."""
    with pytest.raises(ValueError, match="do not fit below half the sample rate"):
        torch_front_end(MEL_40.model_copy(update={"f_max_hz": 8_000.0}), 8_000)


# What surrounds it


@pytest.mark.parametrize("device", DEVICES)
def test_mixed_precision_around_it_changes_nothing(device: str) -> None:
    """Under autocast the features are float32 and the same to the bit; half precision would be wrong by 1e-2."""
    samples = torch.from_numpy(hard_clips()).to(device)
    module = torch_front_end(MEL_40.with_mfcc(13), RATE).to(device)
    with torch.autocast(device, torch.bfloat16):
        inside = module(samples)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, module(samples))


def test_fast_products_around_it_change_little() -> None:
    """Where products of matrices may be less exact, the features stay within 1e-4."""
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        ours = _features(hard_clips(), MEL_40)
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_allclose(ours, extract(hard_clips(), MEL_40, RATE), rtol=0, atol=1e-4)


def test_it_has_nothing_to_train_or_to_store() -> None:
    """A checkpoint of a network with a front-end before it holds the network alone."""
    module = torch_front_end(MEL_40.with_mfcc(13), RATE)
    assert not list(module.parameters())
    assert module.state_dict() == {}
    assert len(list(module.buffers())) == 2


def test_it_moves_to_another_device_whole() -> None:
    """On a device that only computes shapes every tensor is on that device, or torch would refuse to mix them."""
    module = torch_front_end(MEL_40.with_mfcc(13), RATE).to("meta")
    features = module(torch.empty(7, RATE, device="meta"))
    assert (features.device.type, features.shape, features.dtype) == ("meta", (7, 13, 101), torch.float32)


def test_samples_stay_as_they_were() -> None:
    """The batch that is given can be used again, and the result owns its memory in plain order."""
    samples = torch.from_numpy(hard_clips())
    before = samples.clone()
    features = torch_front_end(MEL_40, RATE)(samples)
    assert torch.equal(samples, before)
    assert features.is_contiguous()


# Gradients


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("num_mfcc", [None, 5])
def test_gradients_are_the_slopes_of_the_scorers_features(power: int, num_mfcc: int | None) -> None:
    """Along any direction the gradient is what a small step changes, as `features.extract` sees it."""
    front_end = SMALL.model_copy(
        update={"power": power, "kind": "mfcc" if num_mfcc else "log_mel", "num_mfcc": num_mfcc}
    )
    rng = np.random.default_rng(3)
    samples, direction = rng.normal(0, 0.3, (2, 200)), rng.normal(0, 1, (2, 200))
    weights = rng.normal(0, 1, (2, num_mfcc or 8, 7))
    given_samples = torch.from_numpy(samples.astype(np.float32)).requires_grad_()
    (torch_front_end(front_end, RATE)(given_samples) * torch.from_numpy(weights)).sum().backward()
    assert given_samples.grad is not None
    step = 1e-3
    ahead, behind = (extract(samples + sign * step * direction, front_end, RATE) for sign in (1, -1))
    slope = ((ahead.astype(np.float64) - behind) * weights).sum() / (2 * step)
    assert float((given_samples.grad.numpy() * direction).sum()) == pytest.approx(slope, rel=1e-2)


@pytest.mark.parametrize("power", [1, 2])
def test_gradients_of_silence_are_finite(power: int) -> None:
    """Where there is nothing at all, no slope is infinite or no number."""
    samples = torch.zeros(1, 400, requires_grad=True)
    torch_front_end(SMALL.model_copy(update={"power": power}), RATE)(samples).sum().backward()
    assert samples.grad is not None
    assert torch.isfinite(samples.grad).all()


def test_it_can_be_exported_for_any_number_of_clips() -> None:
    """`torch.export` takes it as it is, and the result serves batches of other sizes."""
    module = torch_front_end(SMALL.with_mfcc(5), RATE)
    clips = torch.export.Dim("clips", min=2, max=10_000)
    program = torch.export.export(module, (torch.zeros(3, 400),), dynamic_shapes=[{0: clips}])
    samples = torch.from_numpy(np.tile(hard_clips(400), (5, 1)))
    torch.testing.assert_close(program.module()(samples), module(samples), rtol=0, atol=1e-5)
