"""Speed of MFCC beside librosa's, with the same settings, on the same clips, in one thread: alternating rounds.

    python benchmarks/mfcc_vs_librosa.py CLIPS_FOLDER [--clips 2000] [--rounds 7]

librosa runs in both ways that it offers, clip by clip and many clips in one call, and is compared with by both. Its
decibels are taken without `top_db`, which kwsbench does not have; that spares librosa a little work. Times are
processor times of the one thread, which other programs on the machine disturb least.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from kwsbench.dataset.audio import fit_length, read_any_audio
from kwsbench.features import mfcc
from kwsbench.front_end import FrontEnd

RATE_HZ = 16_000
NUM_MFCC = 20
CLIPS_PER_LIBROSA_CALL = 64  # its fastest among 4, 16, 64 and 256

FRONT_ENDS = {
    "64 mels, 25/10 ms, n_fft 400": FrontEnd(
        kind="log_mel", window_samples=400, hop_samples=160, n_fft=400, num_mels=64, log="db", log_floor=1e-10
    ),
    "40 mels, 30/10 ms, n_fft 512": FrontEnd(
        kind="log_mel", window_samples=480, hop_samples=160, n_fft=512, num_mels=40, log="db", log_floor=1e-10
    ),
}

Samples = NDArray[np.float32]


def read_clips(folder: Path, num_clips: int) -> Samples:
    """Returns one second of `num_clips` clips, spread evenly over all WAV files under the folder."""
    paths = sorted(path for path in folder.rglob("*.wav") if "_background_noise_" not in path.parts)
    step = max(1, len(paths) // num_clips)
    return np.stack([fit_length(read_any_audio(path, RATE_HZ), RATE_HZ) for path in paths[::step][:num_clips]])


def mfcc_by_librosa(samples: Samples, front_end: FrontEnd) -> Samples:
    """What `librosa.feature.mfcc(y=samples)` does, step by step, so that the steps can be given these settings."""
    energies = librosa.feature.melspectrogram(
        y=samples,
        sr=RATE_HZ,
        n_fft=front_end.n_fft,
        win_length=front_end.window_samples,
        hop_length=front_end.hop_samples,
        pad_mode="reflect",
        power=2.0,
        n_mels=front_end.num_mels,
        htk=True,
        norm=None,
    )
    decibels = librosa.power_to_db(energies, amin=front_end.log_floor, top_db=None)
    return librosa.feature.mfcc(S=decibels, n_mfcc=NUM_MFCC)


def by_librosa_in_calls(samples: Samples, front_end: FrontEnd, clips_per_call: int) -> Samples:
    """Librosa's MFCC of all clips, so many clips in one call."""
    starts = range(0, len(samples), clips_per_call)
    return np.concatenate([mfcc_by_librosa(samples[start : start + clips_per_call], front_end) for start in starts])


def side_by_side(contestants: Mapping[str, Callable[[], Samples]], rounds: int) -> tuple[dict[str, float], float]:
    """Returns the median processor time of each contestant in seconds, and the largest difference from the first."""
    results = [compute() for compute in contestants.values()]  # the first round warms up, and is compared
    difference = max(float(np.abs(result - results[0]).max()) for result in results)
    times_s: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, compute in contestants.items():
            start = time.process_time()
            compute()
            times_s[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in times_s.items()}, difference


def compare(samples: Samples, front_end: FrontEnd, rounds: int) -> None:
    """Prints clips per second of kwsbench and librosa, their ratio, and the largest difference of a coefficient."""
    medians_s, difference = side_by_side(
        {
            "kwsbench": partial(mfcc, samples, front_end.with_mfcc(NUM_MFCC), RATE_HZ),
            "librosa, clip by clip": partial(by_librosa_in_calls, samples, front_end, 1),
            f"librosa, {CLIPS_PER_LIBROSA_CALL} at a time": partial(
                by_librosa_in_calls, samples, front_end, CLIPS_PER_LIBROSA_CALL
            ),
        },
        rounds,
    )
    ours_s = medians_s["kwsbench"]
    for name, median_s in medians_s.items():
        print(
            f"  {name:<24} {len(samples) / median_s:8,.0f} clips per s and core   {median_s / ours_s:5.2f} x the time of kwsbench"
        )
    print(f"  largest difference of a coefficient: {difference:.1e} (of values in decibels)")


def main() -> None:
    """Reads the clips and compares both front-ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with WAV files, such as unpacked Speech Commands")
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    samples = read_clips(arguments.folder, arguments.clips)
    with threadpool_limits(limits=1):
        for name, front_end in FRONT_ENDS.items():
            print(f"{name}, {NUM_MFCC} MFCC, {len(samples):,} clips, 1 thread, median of {arguments.rounds} rounds")
            compare(samples, front_end, arguments.rounds)


if __name__ == "__main__":
    main()
