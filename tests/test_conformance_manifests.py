"""One test of conformance for every shipped manifest, found by folder: a new manifest is one file and no edit here.

The totals that are published are written down beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from kwsbench.manifest import SPLITS, CsvSource, Manifest, read_manifest
from tests.conftest import MANIFESTS, TEN_LABELS

ALL = [*MANIFESTS, TEN_LABELS]

# Warden, arXiv 1804.03209, and the lists in the archives; the competition's tables for Sber.
PUBLISHED_TOTALS: Mapping[str, Mapping[str, int]] = {
    "speech_commands_v1_30": {"train": 64_721 - 6_835 - 6_798, "validation": 6_798, "test": 6_835},
    "speech_commands_v2_35": {"train": 105_829 - 11_005 - 9_981, "validation": 9_981, "test": 11_005},
    "speech_commands_v1_12": {"test": 3_081},
    "speech_commands_v2_12": {"test": 4_890},
    "sber_keywords_5": {"train": 97_268, "validation": 10_801},
}
PUBLISHED_LABELS: Mapping[tuple[str, str], Mapping[str, int]] = {
    ("speech_commands_v2_12", "test"): {
        "down": 406,
        "go": 402,
        "left": 412,
        "no": 405,
        "off": 402,
        "on": 396,
        "right": 396,
        "stop": 411,
        "up": 425,
        "yes": 419,
        "_silence_": 408,
        "_unknown_": 408,
    },
    ("sber_keywords_5", "train"): {"joy": 20_751, "filler": 20_743, "afina": 20_256, "sber": 19_695, "salut": 15_823},
    ("sber_keywords_5", "validation"): {"afina": 2_286, "filler": 2_282, "joy": 2_274, "sber": 2_257, "salut": 1_702},
}
PUBLISHED_ARCHIVES = {
    "speech_commands_v0.01.tar.gz": (
        1_489_096_277,
        "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
    ),
    "speech_commands_v0.02.tar.gz": (
        2_428_923_189,
        "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    ),
    "speech_commands_test_set_v0.02.tar.gz": (
        112_563_277,
        "cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df",
    ),
}


@pytest.fixture(params=ALL, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    """Each manifest in turn."""
    result: Path = request.param
    return result


@pytest.fixture
def manifest(path: Path) -> Manifest:
    """The manifest, parsed."""
    return read_manifest(path)


def _host_splits(manifest: Manifest) -> set[str]:
    return {source.split for source in manifest.sources if isinstance(source, CsvSource) and source.host_labels}


def test_there_are_manifests() -> None:
    """The folder is where this test looks for it, and the benchmarks that are promised are in it."""
    assert {*PUBLISHED_TOTALS, "mini_speech_commands_8", "espeak_12"} <= {path.stem for path in MANIFESTS}


def test_a_manifest_is_named_like_its_file(manifest: Manifest, path: Path) -> None:
    """It parses, and what the user types is what it calls itself."""
    assert manifest.name == path.stem


def test_a_manifest_tells_its_story(manifest: Manifest) -> None:
    """Title, description, source, citation and licence say something, in whole sentences where it is prose."""
    for text in (manifest.title, manifest.source, manifest.citation, manifest.licence):
        assert text.strip()
        assert "TODO" not in text
    assert len(manifest.description.split()) >= 10
    assert manifest.description.strip().endswith(".")
    assert manifest.languages


def test_an_archive_has_a_checksum_or_says_why_not(manifest: Manifest) -> None:
    """Every archive is pinned by size and SHA-256, or explains itself, or tells a person what to do."""
    assert manifest.archives or manifest.synthesis
    for archive in manifest.archives:
        if archive.sha256 is not None:
            assert archive.num_bytes
        else:
            assert len((archive.checksum_note or archive.manual or "").split()) >= 5


def test_a_known_archive_has_the_published_checksum(manifest: Manifest) -> None:
    """Sizes and checksums are those that are known, in every manifest that uses the archive."""
    for archive in manifest.archives:
        if archive.file in PUBLISHED_ARCHIVES:
            assert (archive.num_bytes, archive.sha256) == PUBLISHED_ARCHIVES[archive.file]


def test_labels_are_words(manifest: Manifest) -> None:
    """`on`, `off`, `yes` and `no` are text, and a label is a keyword or background, not both."""
    assert all(isinstance(label, str) for label in manifest.labels)
    assert len(set(manifest.labels)) == len(manifest.labels)
    assert not any(keyword.startswith("_") for keyword in manifest.keywords)


def test_expected_counts_name_every_label(manifest: Manifest) -> None:
    """Where a split is counted every label is; only synthesised splits and those with the host's labels are not."""
    for counts in manifest.expected.values():
        assert set(counts) == set(manifest.labels)
        assert all(counts.values())
    if manifest.synthesis is None:
        assert set(manifest.expected) == set(SPLITS) - _host_splits(manifest)


def test_expected_counts_are_the_published_ones(manifest: Manifest) -> None:
    """Totals of the splits, and counts of the labels where they are printed, agree with the publications."""
    for split, total in PUBLISHED_TOTALS.get(manifest.name, {}).items():
        assert sum(manifest.expected[split].values()) == total
    for (name, split), counts in PUBLISHED_LABELS.items():
        if name == manifest.name:
            assert manifest.expected[split] == counts


def test_draws_are_in_proportion(manifest: Manifest) -> None:
    """What is drawn in a split is expected to be the fraction of its keyword clips, rounded up."""
    for draw in (manifest.unknown, manifest.silence):
        for split in draw.splits if draw else ():
            counts = manifest.expected[split]
            keyword_clips = sum(counts[keyword] for keyword in manifest.keywords)
            assert 0 <= counts[draw.label] - draw.fraction * keyword_clips < 1


def test_front_end_and_budget_are_usable(manifest: Manifest) -> None:
    """The default front-end gives frames for one clip, and the course's limits are the budget."""
    assert manifest.front_end.num_frames(manifest.clip_samples) > 1
    assert (manifest.budget.max_params, manifest.budget.max_macs) == (10_000, 1_000_000)


def test_mini_speech_commands_has_a_thousand_clips_of_each_word() -> None:
    """The splits of each of the eight words add up to the 1,000 clips that the archive holds."""
    expected = read_manifest(next(path for path in MANIFESTS if path.stem == "mini_speech_commands_8")).expected
    for word in expected["train"]:
        assert sum(expected[split][word] for split in SPLITS) == 1_000


def test_manifests_of_one_archive_agree() -> None:
    """The keywords of the 12-label tasks have the counts that the tasks with all words have."""
    manifests = {path.stem: read_manifest(path) for path in MANIFESTS}
    for few, many in (
        ("speech_commands_v1_12", "speech_commands_v1_30"),
        ("speech_commands_v2_12", "speech_commands_v2_35"),
    ):
        for split in SPLITS:
            for keyword in manifests[few].keywords:
                assert manifests[few].expected[split][keyword] == manifests[many].expected[split][keyword]
