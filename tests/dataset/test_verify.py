"""What `verify` finds, kind by kind, and that it finds nothing in a data set as it was prepared."""

from __future__ import annotations

import shutil

import pytest

from kwsbench.dataset.clips import load_prepared
from kwsbench.dataset.verify import Verification, verify
from kwsbench.errors import InputError, Problem
from tests.conftest import Tiny, write_wav

CLIP = "yes/00176480_nohash_0.wav"


def _verify(tiny: Tiny) -> Verification:
    return verify(load_prepared(tiny.places.root / "tiny"))


def _kinds(result: Verification) -> dict[str, int]:
    kinds = ("missing", "damaged", "extra", "duplicates", "speakers", "counts")
    return {kind: len(getattr(result, kind)) for kind in kinds if getattr(result, kind)}


def test_a_clean_data_set_has_no_problems(tiny: Tiny) -> None:
    """Right after it was prepared there is nothing to say."""
    tiny.prepare()
    result = _verify(tiny)
    assert (result.num_clips, result.problems, result.first_problems()) == (32, [], [])
    assert len(result.checks) == 6


def test_a_missing_clip_is_found(tiny: Tiny) -> None:
    """A file that is gone is missing, not damaged."""
    tiny.prepare()
    (tiny.root / CLIP).unlink()
    result = _verify(tiny)
    assert _kinds(result) == {"missing": 1}
    assert result.missing[0].where == CLIP


def test_a_changed_clip_is_found(tiny: Tiny) -> None:
    """A file with other samples is damaged, and both hashes are shown."""
    tiny.prepare()
    data = bytearray((tiny.root / CLIP).read_bytes())
    data[-1] ^= 1
    (tiny.root / CLIP).write_bytes(data)
    result = _verify(tiny)
    assert _kinds(result) == {"damaged": 1}
    assert "1,600 samples with hash" in result.damaged[0].found


def test_another_header_is_no_damage(tiny: Tiny) -> None:
    """The hash is that of the samples, so a file rewritten with the same audio is the same clip."""
    tiny.prepare()
    data = (tiny.root / CLIP).read_bytes()
    (tiny.root / CLIP).write_bytes(data + b"LIST\x04\0\0\0INFO")
    assert _verify(tiny).problems == []


@pytest.mark.parametrize("data", [b"", b"RIFF", b"not audio at all"])
def test_a_file_that_is_no_audio_any_more_is_found(tiny: Tiny, data: bytes) -> None:
    """What cannot be read any more is damaged."""
    tiny.prepare()
    (tiny.root / CLIP).write_bytes(data)
    assert _kinds(_verify(tiny)) == {"damaged": 1}


def test_a_shorter_noise_file_is_found(tiny: Tiny) -> None:
    """Silence that lies beyond the end of its noise file is damaged."""
    tiny.prepare()
    write_wav(tiny.root / "_background_noise_" / "rain.wav", 1_000)
    (problem,) = _verify(tiny).problems
    assert problem.found == "1,000 samples"


def test_noise_that_is_gone_is_found(tiny: Tiny) -> None:
    """A noise file counts as missing once, however many clips are cut from it."""
    tiny.prepare()
    (tiny.root / "_background_noise_" / "street.wav").unlink()
    (problem,) = _verify(tiny).missing
    assert problem.where == "_background_noise_/street.wav"


def test_an_extra_clip_is_found(tiny: Tiny) -> None:
    """A file in a label's folder that is not in the table is extra; one among the words to draw from is not."""
    tiny.prepare()
    write_wav(tiny.root / "yes" / "99999999_nohash_0.wav")
    write_wav(tiny.root / "bed" / "99999999_nohash_0.wav")
    result = _verify(tiny)
    assert _kinds(result) == {"extra": 1}
    assert result.extra[0].where == "yes/99999999_nohash_0.wav"


def test_the_same_audio_in_two_splits_is_found(tiny: Tiny) -> None:
    """A copy of a training clip among the test clips is a leak that names both; copies in one split are not."""
    test_clip = "no/10000000_nohash_0.wav"
    for copy in (test_clip, "yes/1641e121_nohash_0.wav"):
        shutil.copyfile(tiny.root / CLIP, tiny.root / copy)
    tiny.prepare()
    result = _verify(tiny)
    assert _kinds(result) == {"duplicates": 1}
    assert result.duplicates[0].where == test_clip
    assert result.duplicates[0].found.startswith("the same audio in test and in train (yes/")


def test_a_speaker_in_two_splits_is_found(tiny: Tiny) -> None:
    """A person who is in training and test is a leak that names person and clips."""
    for word in ("yes", "no"):
        (tiny.root / word / "10000000_nohash_0.wav").rename(tiny.root / word / "00176480_nohash_9.wav")
    text = (tiny.root / "testing_list.txt").read_text(encoding="utf-8")
    moved = text.replace("yes/10000000_nohash_0", "yes/00176480_nohash_9").replace(
        "no/10000000_nohash_0", "no/00176480_nohash_9"
    )
    (tiny.root / "testing_list.txt").write_text(moved, encoding="utf-8")
    tiny.prepare()
    result = _verify(tiny)
    assert _kinds(result) == {"speakers": 1}
    assert "the speaker 00176480 in test and in train" in result.speakers[0].found


def test_counts_that_are_not_the_manifests_are_found(tiny: Tiny) -> None:
    """A table that lost a row no longer has the counts that it was prepared with."""
    dataset = tiny.prepare()
    lines = dataset.table.read_text(encoding="utf-8").splitlines(keepends=True)
    dataset.table.write_text("".join(line for line in lines if not line.startswith(CLIP)), encoding="utf-8")
    result = _verify(tiny)
    assert _kinds(result) == {"extra": 1, "counts": 1}
    assert str(result.counts[0]) == "train, label yes: found 3 clips, expected 4"


def test_the_counts_of_a_part_are_as_wanted(tiny: Tiny) -> None:
    """Of a data set that was prepared as a part nobody expects the whole."""
    (tiny.root / CLIP).unlink()
    tiny.prepare(partial=True)
    assert _verify(tiny).problems == []


def test_all_kinds_are_found_together(tiny: Tiny) -> None:
    """One kind of problem does not hide another."""
    shutil.copyfile(tiny.root / CLIP, tiny.root / "no" / "10000000_nohash_0.wav")
    tiny.prepare()
    (tiny.root / "yes" / "00000001_nohash_0.wav").unlink()
    (tiny.root / "yes" / "00000002_nohash_0.wav").write_bytes(b"")
    write_wav(tiny.root / "yes" / "99999999_nohash_0.wav")
    result = _verify(tiny)
    assert _kinds(result) == {"missing": 1, "damaged": 1, "extra": 1, "duplicates": 1}
    assert len(result.problems) == 4


def test_the_first_problems_count_the_rest(tiny: Tiny) -> None:
    """Of many problems of one kind five are shown, and the others are counted."""
    tiny.prepare()
    for path in (tiny.root / "yes").iterdir():
        path.unlink()
    result = _verify(tiny)
    shown: list[Problem] = result.first_problems()
    assert len(result.missing) == 8
    assert sum(problem.count for problem in shown) == 8
    assert len(shown) == 5


def test_audio_that_is_gone_altogether_says_how_to_get_it(tiny: Tiny) -> None:
    """Without the audio root there is nothing to hold the table against."""
    tiny.prepare()
    tiny.root.rename(tiny.root.with_name("gone"))
    with pytest.raises(InputError, match="the audio of 'tiny_words' is not there"):
        _verify(tiny)
