"""TC-ResNet14: TC-ResNet8 with a second residual block after each of its three.

What it is: the larger network of "Temporal Convolution for Real-time Keyword Spotting on Mobile Devices" (Choi et al.,
2019). Its blocks, its front-end and its settings are those of `tc_resnet8`, which says more. Published as
TC-ResNet14-k; k = 1.5 is the paper's best and is had with `--set k=1.5`.

1. Convolution over 3 frames to 16 k channels, batch normalisation, ReLU.
2. Residual blocks to 24 k, 24 k, 32 k, 32 k, 48 k and 48 k channels; the second of each pair takes no stride and has
   its input as shortcut.
3. Mean over time, dropout 0.5, linear layer without bias to one score per label.

Input: 40 MFCC as for `tc_resnet8`, shape (batch, 40, 98) for one second.
Output: one score per label; softmax makes them probabilities.
Recipe: as published, that of `tc_resnet8`.

Counts: for k = 1.5 the published 305k parameters are 303,000 and 1,608 running statistics, and the published 6.7M
multiply-accumulates are those of convolutions and linear layer, 6,677,136; for k = 1, as below, 137k are 135,856 and
1,072, and convolutions and linear layer take 3,030,528.

Deviations from the source: those of `tc_resnet8`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from kwsbench.baseline import load_baseline
from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Recipe

_TC_RESNET8: Any = load_baseline("tc_resnet8", Path(__file__).parent)

SOURCE = (
    "Choi, S., Seo, S., Shin, B., Byun, H., Kersner, M., Kim, B., Kim, D. and Ha, S. (2019). Temporal Convolution for"
    " Real-time Keyword Spotting on Mobile Devices. Interspeech. arXiv:1904.03814;"
    " https://github.com/hyperconnect/TC-ResNet."
)
PUBLISHED_ACCURACY: dict[str, float] = {}  # 96.6 on speech_commands_v1_12 is that of k = 1.5
NUM_PARAMETERS = 135_856
MACS = 3_045_144

_CHANNELS = (16, 24, 24, 32, 32, 48, 48)

Config = _TC_RESNET8.Config


def front_end(config: Any, default: FrontEnd) -> FrontEnd:
    """Returns the front-end of `tc_resnet8`."""
    chosen: FrontEnd = _TC_RESNET8.front_end(config, default)
    return chosen


def recipe(config: Any) -> Recipe:
    """Returns the recipe of `tc_resnet8`."""
    chosen: Recipe = _TC_RESNET8.recipe(config)
    return chosen


def network(config: Any, num_labels: int, num_coefficients: int, _num_frames: int) -> nn.Module:
    """Returns the network; features of shape (batch, coefficients, frames) give scores of shape (batch, labels)."""
    built: nn.Module = _TC_RESNET8.tc_resnet(_CHANNELS, config, num_coefficients, num_labels)
    return built
