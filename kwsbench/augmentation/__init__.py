"""What is done to the clips of a training batch: on their samples, and on their spectrograms.

This package imports PyTorch; import it where it is used.
"""

from kwsbench.augmentation.features import augment_features
from kwsbench.augmentation.samples import augment_samples

__all__ = ["augment_features", "augment_samples"]
