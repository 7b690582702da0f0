"""MFCC statistics over time, classified by gradient-boosted trees: the strong baseline that needs no GPU.

What it is: each clip becomes one row of numbers that does not depend on where in the clip the word lies, and
LightGBM learns the labels from those rows.

1. MFCC (Davis & Mermelstein, IEEE TASSP 28(4), 1980) and their slopes over time, called deltas (Furui, IEEE TASSP
   34(1), 1986; The HTK Book, equation 5.16).
2. Mean, standard deviation, minimum and maximum of each over the clip, as openSMILE's functionals have them (Eyben,
   Woellmer & Schuller, ACM Multimedia 2010).
3. The clip is cut into segments of equal loudness, not of equal duration: quiet before and after the word falls into
   the outermost ones, and a word is cut at the same places whether it is spoken early or late, quickly or slowly.
   Trace segmentation (Kuhn, Tomaschewski & Ney, ICASSP 1981) is the precedent, by spectral change there. Kept are
   each coefficient's mean over each segment, and how many frames a segment holds.
4. Gradient boosting: LightGBM (Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS
   2017), one tree per label and round, many small trees with a strong L2 penalty.

Input: MFCC of the manifest's own log-mel front-end, shape (clips, num_mfcc, frames).
Output: one probability per label.
Recipe: the log-loss on the validation split stops the boosting; nothing is augmented, and the test is never seen.

Deviations from the sources: coefficient 0 is kept, since loudness is what the segments are cut by; nothing is
liftered; there is no variance normalisation, which trees do not need.

What each idea brings: accuracy on the 2,048 validation clips of `tests/manifests/speech_commands_v1_10.toml`, by
`kwsbench train mfcc_lightgbm --manifest speech_commands_v1_10` with `--set` as named and seed 0. The standard error of
an accuracy is 0.6 points.

    77.2 %  num_segments=1: statistics over the clip alone, of MFCC and deltas
    91.7 %  quiet_fraction=0: loudness is what exceeds the quietest frame, not the median one
    91.3 %  delta_frames=2: deltas over two frames on either side instead of four
    92.3 %  lambda_l2=0: no penalty; 198 rounds instead of 451 and less than half the size
    92.1 %  as it stands; 92.9 and 92.4 % with seeds 1 and 2

Segments bring nearly all of it. The last three rows cannot be told apart by one seed; the settings were chosen by
log-loss in an earlier search on this split, with other draws of `_unknown_` and `_silence_`, in which segments of equal
loudness beat segments of equal duration by far. The split also stops the boosting, so these figures flatter a little.

Tried and left out, being no better: 20 coefficients instead of 13, cosine terms of the means over the segments instead
of the means, means of the mel bands besides, interpolation instead of means, extremely randomised trees. Training
takes under a minute on one core, and extraction a few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kwsbench.front_end import FrontEnd

SOURCE = (
    "Ke, G., Meng, Q., Finley, T., Wang, T., Chen, W., Ma, W., Ye, Q. and Liu, T. (2017). LightGBM: A Highly Efficient"
    " Gradient Boosting Decision Tree. NeurIPS. The features are kwsbench's own."
)
PUBLISHED_ACCURACY: dict[str, float] = {}  # nobody has published it for keywords

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Config:
    """Sizes of the summary, and LightGBM's settings.

    Attributes:
        num_mfcc: Coefficients per frame, coefficient 0 included.
        delta_frames: Frames before and after a frame that its slope is fitted to.
        num_segments: Segments of equal loudness that a clip is cut into.
        quiet_fraction: Fraction of a clip's frames that counts as background; loudness is what exceeds it.
        num_boost_round: Most rounds of boosting, with one tree per label each.
        early_stopping_rounds: Rounds without a better validation log-loss after which the boosting stops.
        learning_rate: Shrinkage of each tree.
        num_leaves: Most leaves of a tree.
        min_data_in_leaf: Fewest clips in a leaf.
        feature_fraction: Fraction of the numbers that a tree may look at.
        bagging_fraction: Fraction of the clips that a round is fitted to.
        bagging_freq: Rounds after which these clips are drawn anew.
        lambda_l2: L2 penalty on the leaves.
        max_bin: Histogram bins per number.
    """

    num_mfcc: int = 13
    delta_frames: int = 4
    num_segments: int = 20
    quiet_fraction: float = 0.5
    num_boost_round: int = 600
    early_stopping_rounds: int = 20
    learning_rate: float = 0.12
    num_leaves: int = 15
    min_data_in_leaf: int = 20
    feature_fraction: float = 0.15
    bagging_fraction: float = 0.8
    bagging_freq: int = 1
    lambda_l2: float = 20.0
    max_bin: int = 63


def front_end(config: Config, default: FrontEnd) -> FrontEnd:
    """Returns the MFCC front-end that is built on the manifest's log-mel front-end."""
    return default.with_mfcc(config.num_mfcc)


def summarise(features: FloatArray, config: Config) -> FloatArray:
    """Turns the MFCC of each clip into one row of numbers.

    Args:
        features: MFCC, shape (clips, coefficients, frames).
        config: The sizes of the summary.

    Returns:
        Float32 of shape (clips, coefficients x 2 x (4 + `num_segments`) + `num_segments`).
    """
    tracks = np.concatenate([features, _deltas(features, config.delta_frames)], axis=1)
    statistics = [tracks.mean(axis=2), tracks.std(axis=2), tracks.min(axis=2), tracks.max(axis=2)]
    membership = _segments_of_equal_loudness(features[:, 0], config)  # (clips, frames, segments)
    frames_per_segment = membership.sum(axis=1)
    means = tracks @ membership / np.maximum(frames_per_segment, 1)[:, None]  # (clips, tracks, segments)
    return np.concatenate([*statistics, means.reshape(len(features), -1), frames_per_segment], axis=1)


def lightgbm_parameters(config: Config, num_labels: int, seed: int, num_threads: int) -> dict[str, Any]:
    """Returns LightGBM's parameters for `num_labels` labels; equal data and arguments give equal models."""
    return {
        "objective": "multiclass",
        "num_class": num_labels,
        "learning_rate": config.learning_rate,
        "num_leaves": config.num_leaves,
        "min_data_in_leaf": config.min_data_in_leaf,
        "feature_fraction": config.feature_fraction,
        "bagging_fraction": config.bagging_fraction,
        "bagging_freq": config.bagging_freq,
        "lambda_l2": config.lambda_l2,
        "max_bin": config.max_bin,
        "seed": seed,
        "num_threads": num_threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def _deltas(features: FloatArray, reach: int) -> FloatArray:
    """Slopes of straight lines fitted to each frame and `reach` frames on either side, the ends repeated."""
    num_frames = features.shape[2]
    padded = np.pad(features, ((0, 0), (0, 0), (reach, reach)), mode="edge")
    slopes: FloatArray = np.zeros_like(features)
    for step in range(1, reach + 1):
        after = padded[:, :, reach + step : reach + step + num_frames]
        before = padded[:, :, reach - step : reach - step + num_frames]
        slopes += np.float32(step) * (after - before)
    slopes /= 2 * sum(step**2 for step in range(1, reach + 1))
    return slopes


def _segments_of_equal_loudness(loudness: FloatArray, config: Config) -> FloatArray:
    """Which segment each frame is in, as ones among zeros; a loud frame can leave the segments beside it empty."""
    background = np.quantile(loudness, config.quiet_fraction, axis=1, keepdims=True)
    weight = np.square(np.maximum(loudness - background, 1e-6))
    weight /= weight.sum(axis=1, keepdims=True)
    middle = np.cumsum(weight, axis=1) - weight / 2  # share of the loudness up to the middle of the frame
    segment = np.clip((middle * config.num_segments).astype(np.int64), 0, config.num_segments - 1)
    membership: FloatArray = (segment[:, :, None] == np.arange(config.num_segments)).astype(np.float32)
    return membership
