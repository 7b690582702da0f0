"""The split rules; the hash rule is held against entries of the official lists of Speech Commands v0.02."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.dataset.splits import split_by_hash, split_rule
from kwsbench.errors import InputError
from kwsbench.manifest import FolderRule, HashRule, ListsRule, WholeRule

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200, database=None)

LISTS = ListsRule(rule="lists", validation="validation_list.txt", test="testing_list.txt")

OFFICIAL_TESTING = """
right/bb05582b_nohash_3.wav eight/c7dc7278_nohash_3.wav tree/44715c1c_nohash_0.wav bed/7dc95912_nohash_0.wav
go/37dca74f_nohash_1.wav no/3b4f8f24_nohash_2.wav follow/b7e9f841_nohash_2.wav left/692a88e6_nohash_3.wav
stop/cd85758f_nohash_0.wav three/b83c1acf_nohash_3.wav one/a7216980_nohash_0.wav zero/7dc95912_nohash_1.wav
up/e1469561_nohash_1.wav visual/63f7a489_nohash_0.wav two/8056e897_nohash_0.wav down/37dca74f_nohash_2.wav
yes/1538beb7_nohash_0.wav on/d7467392_nohash_2.wav five/798f702a_nohash_1.wav off/bb31b82b_nohash_1.wav
"""

OFFICIAL_VALIDATION = """
right/a69b9b3e_nohash_0.wav eight/a9ca1818_nohash_0.wav tree/d874a786_nohash_0.wav bed/b00dff7e_nohash_0.wav
go/0ab3b47d_nohash_1.wav no/44bc77f7_nohash_0.wav follow/64e48f55_nohash_0.wav left/45692b02_nohash_2.wav
stop/8dc18a75_nohash_3.wav sheila/ff2b842e_nohash_0.wav one/9190045a_nohash_0.wav zero/73f20b00_nohash_3.wav
up/f427aa81_nohash_0.wav marvin/fde2dee7_nohash_1.wav two/ad63d93c_nohash_3.wav down/96c67073_nohash_0.wav
yes/fde2dee7_nohash_1.wav on/ef77b778_nohash_3.wav five/ccca5655_nohash_1.wav off/73f20b00_nohash_1.wav
"""

# On neither official list of v0.01, so for training.
OFFICIAL_TRAINING = """
bed/00176480_nohash_0.wav cat/095847e4_nohash_0.wav down/016e2c6d_nohash_0.wav down/c79159aa_nohash_4.wav
five/3bc21161_nohash_2.wav five/fd395b74_nohash_0.wav four/bfaf2000_nohash_0.wav go/cb8f8307_nohash_7.wav
happy/eb3f7d82_nohash_0.wav left/b4aa9fef_nohash_0.wav no/fffcabd1_nohash_0.wav one/c0445658_nohash_3.wav
right/8012c69d_nohash_1.wav stop/7d86b703_nohash_2.wav three/8aa35b0c_nohash_1.wav two/402e2977_nohash_1.wav
up/01b4757a_nohash_1.wav up/c53b335a_nohash_0.wav yes/82305c3a_nohash_1.wav zero/3d53244b_nohash_0.wav
"""


def _lists(folder: Path, validation: str, test: str, encoding: str = "utf-8") -> Path:
    (folder / "validation_list.txt").write_text(validation, encoding=encoding, newline="")
    (folder / "testing_list.txt").write_text(test, encoding=encoding, newline="")
    return folder


@pytest.mark.parametrize(
    ("listed", "split"),
    [(OFFICIAL_TESTING, "test"), (OFFICIAL_VALIDATION, "validation"), (OFFICIAL_TRAINING, "train")],
    ids=["test", "validation", "train"],
)
def test_the_hash_rule_reproduces_the_official_lists(listed: str, split: str) -> None:
    """With 10 % each, entries of the official lists get the split that they are listed for."""
    paths = listed.split()
    assert len(paths) == 20
    rule = split_rule(HashRule(rule="hash", validation_percent=10, test_percent=10), Path("nowhere"))
    assert {rule(path) for path in paths} == {split}


@PROPERTY
@given(st.from_regex(r"[0-9a-f]{8}", fullmatch=True), st.integers(0, 9), st.sampled_from(["yes", "no"]))
def test_the_hash_rule_keeps_a_speaker_together(speaker: str, take: int, word: str) -> None:
    """The split depends on the part of the name before `_nohash_` alone, not on folder or take."""
    assert split_by_hash(f"{word}/{speaker}_nohash_{take}.wav", 10, 10) == split_by_hash(
        f"a/b/{speaker}_nohash_0.wav", 10, 10
    )


@PROPERTY
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
def test_the_shares_of_the_hash_rule_are_nested(name: str) -> None:
    """A larger share for validation only moves clips into it, and shares of 0 and 100 take none and all."""
    path = f"yes/{name.replace('/', '')}_nohash_0.wav"
    splits = [split_by_hash(path, percent, 0) for percent in range(0, 101, 20)]
    assert splits[0] == "train"
    assert splits == sorted(splits)
    assert split_by_hash(path, 0, 100.1) == "test"


def test_lists_name_validation_and_test_and_leave_training(tmp_path: Path) -> None:
    """A clip has the split that lists it, and without a list it is for training."""
    rule = split_rule(LISTS, _lists(tmp_path, "yes/a.wav\n", "yes/b.wav\nno/b.wav"))
    assert [rule(path) for path in ("yes/a.wav", "yes/b.wav", "no/b.wav", "no/a.wav")] == [
        "validation",
        "test",
        "test",
        "train",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("line", ["yes/a.wav\r\n", "  yes/a.wav  \n", "\n\nyes/a.wav", "./yes/a.wav\n", "yes//a.wav"])
def test_a_list_may_be_written_loosely(tmp_path: Path, line: str, encoding: str) -> None:
    """A byte order mark, line ends, blanks and `./` do not turn a test clip into a training clip."""
    rule = split_rule(LISTS, _lists(tmp_path, "", line, encoding))
    assert rule("yes/a.wav") == "test"


def test_clips_on_both_lists_are_refused(tmp_path: Path) -> None:
    """The first clip that both lists name is shown with its line, and the others are counted."""
    _lists(tmp_path, "yes/a.wav\nyes/b.wav\nyes/c.wav\n", "no/a.wav\nyes/c.wav\nyes/b.wav\n")
    with pytest.raises(InputError, match="overlapping splits") as caught:
        split_rule(LISTS, tmp_path)
    (problem,) = caught.value.problems
    assert problem.where == f"{tmp_path / 'testing_list.txt'}, line 3"
    assert "yes/b.wav" in problem.found
    assert problem.count == 2


def test_a_list_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """Without the official lists there is no split, whatever the reason."""
    _lists(tmp_path, "", "")
    (tmp_path / "validation_list.txt").write_bytes(b"yes/\xff.wav\n")
    with pytest.raises(InputError, match=r"validation_list\.txt: it is not UTF-8 text"):
        split_rule(LISTS, tmp_path)
    (tmp_path / "validation_list.txt").unlink()
    with pytest.raises(InputError, match=r"validation_list\.txt: No such file or directory; the split of the clips"):
        split_rule(LISTS, tmp_path)


def test_the_folder_rule_reads_the_first_folder() -> None:
    """The first folder of the path names the split."""
    rule = split_rule(FolderRule(rule="folder"), Path("nowhere"))
    assert [rule(f"{split}/yes/test.wav") for split in ("train", "validation", "test")] == [
        "train",
        "validation",
        "test",
    ]


@pytest.mark.parametrize("path", ["dev/yes/a.wav", "Train/yes/a.wav", "a.wav"])
def test_the_folder_rule_refuses_other_folders(path: str) -> None:
    """A folder that is not named exactly like a split is an error that names the three."""
    with pytest.raises(InputError, match="train, validation, test"):
        split_rule(FolderRule(rule="folder"), Path("nowhere"))(path)


def test_the_whole_rule_gives_one_split() -> None:
    """Every clip of the source has the split that the manifest says."""
    assert split_rule(WholeRule(rule="whole", split="test"), Path("nowhere"))("yes/a.wav") == "test"
