"""The chain on real speech: a part of Speech Commands v0.01, where the machine has it.

Set KWSBENCH_REAL_CLIPS to a folder `speech_commands_v0.01` with the 18,951 clips of the ten-label task.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kwsbench.dataset.clips import PreparedDataset, load_samples
from kwsbench.dataset.places import Places
from kwsbench.dataset.prepare import prepare, split_counts
from kwsbench.dataset.splits import split_by_hash
from kwsbench.dataset.verify import verify
from kwsbench.manifest import read_manifest
from tests.conftest import TEN_LABELS

REAL_CLIPS = os.environ.get("KWSBENCH_REAL_CLIPS")

pytestmark = pytest.mark.skipif(
    REAL_CLIPS is None, reason="KWSBENCH_REAL_CLIPS does not name a folder with real clips of Speech Commands v0.01"
)


@pytest.fixture(scope="module")
def ten_labels(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """The ten-label task, prepared from the real clips."""
    places = Places(tmp_path_factory.mktemp("data"))
    return prepare(read_manifest(TEN_LABELS), TEN_LABELS, Path(REAL_CLIPS or ""), places)


def test_the_ten_label_task_is_complete(ten_labels: PreparedDataset) -> None:
    """All 18,951 clips are there, in the counts of the manifest."""
    assert ten_labels.complete
    assert len(ten_labels.clips) == 18_951
    assert split_counts(ten_labels) == ten_labels.manifest.expected


def test_nothing_leaks_between_the_splits(ten_labels: PreparedDataset) -> None:
    """No clip is damaged, and neither audio nor speaker is in two splits of the official lists."""
    assert verify(ten_labels).problems == []


def test_the_hash_rule_gives_the_official_lists(ten_labels: PreparedDataset) -> None:
    """Every word has the split that the hash of its name says."""
    words = ten_labels.clips.filter(ten_labels.clips["label"] != "_silence_").select("path", "split")
    assert all(split_by_hash(path, 10, 10) == split for path, split in words.iter_rows())


def test_speakers_are_names(ten_labels: PreparedDataset) -> None:
    """Every word has a speaker of eight characters, and silence has none."""
    speakers = ten_labels.clips.group_by("label").agg("speaker_id")
    for label, names in speakers.iter_rows():
        assert {len(name) for name in names} == ({0} if label == "_silence_" else {8})
    assert "00176480" in set(ten_labels.clips["speaker_id"])


def test_the_clips_can_be_heard(ten_labels: PreparedDataset) -> None:
    """Clips are one second of finite samples, and few are silent throughout."""
    samples = load_samples(ten_labels.split("test").head(500), ten_labels)
    assert samples.shape == (500, 16_000)
    assert np.isfinite(samples).all()
    assert samples.any(axis=1).mean() > 0.9
