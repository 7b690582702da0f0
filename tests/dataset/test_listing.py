"""Which clips a manifest stands for: folders, tables, several archives, and the shipped manifests on small folders."""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from kwsbench.dataset.listing import Clip, list_clips, source_clips, wav_files
from kwsbench.errors import InputError
from kwsbench.manifest import SPLITS, Manifest, parse_manifest, read_manifest
from tests.conftest import MANIFESTS, TINY_MANIFEST, TINY_SPEAKERS, Tiny, tiny_clips, write_wav

SPEAKER = "0c40e715"
HASH_RULE = 'split = { rule = "hash", validation_percent = 10, test_percent = 10 }'
LISTS_RULE = 'split = { rule = "lists", validation = "validation_list.txt", test = "testing_list.txt" }'


def _shipped(name: str) -> Manifest:
    return read_manifest(next(path for path in MANIFESTS if path.stem == name))


def _counts(clips: Iterable[Clip]) -> dict[str, int]:
    return dict(Counter(f"{clip.split} {clip.label}" for clip in clips))


def _write_table(path: Path, rows: Iterable[Iterable[object]], encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows(rows)


# Folders


def test_every_clip_has_its_label_split_and_speaker(tiny: Tiny) -> None:
    """The words come with the split of the official lists, and with the speaker as text from the name."""
    clips = {clip.path: clip for clip in list_clips(tiny.manifest, tiny.root) if clip.label in ("yes", "no")}
    assert {(clip.split, path) for path, clip in clips.items()} == {
        (split, path) for split, path in tiny_clips() if path.startswith(("yes", "no"))
    }
    assert {clip.speaker_id for clip in clips.values()} == {
        speaker for part in TINY_SPEAKERS.values() for speaker in part
    }
    assert clips["yes/00176480_nohash_0.wav"] == Clip("yes/00176480_nohash_0.wav", "yes", "train", "00176480")


def test_clips_come_in_the_order_of_split_and_path(tiny: Tiny) -> None:
    """The list is sorted, drawn clips included."""
    clips = list_clips(tiny.manifest, tiny.root)
    assert clips == sorted(clips, key=lambda clip: (clip.split, clip.path))
    assert len({clip.path for clip in clips}) == len(clips) == 32


def test_other_words_are_drawn_in_proportion_from_their_own_split(tiny: Tiny) -> None:
    """Each split has half as many other words as keyword clips, all of speakers of that split."""
    clips = [clip for clip in list_clips(tiny.manifest, tiny.root) if clip.label == "_unknown_"]
    assert _counts(clips) == {"test _unknown_": 2, "train _unknown_": 4, "validation _unknown_": 2}
    for clip in clips:
        assert clip.file.split("/")[0] in ("bed", "cat")
        assert clip.speaker_id in TINY_SPEAKERS[clip.split]


def test_draws_are_in_proportion_to_keywords_alone(tiny: Tiny) -> None:
    """Background clips that have a folder of their own do not make the other background labels larger."""
    tiny.edit('["_unknown_", "_silence_"]', '["_unknown_", "_silence_", "filler"]')
    tiny.forget_counts()
    for speaker in TINY_SPEAKERS["train"]:
        write_wav(tiny.root / "filler" / f"{speaker}_nohash_0.wav")
    counts = _counts(list_clips(tiny.manifest, tiny.root))
    assert (counts["train filler"], counts["train _unknown_"], counts["train _silence_"]) == (4, 4, 4)


def test_silence_is_stretches_of_noise(tiny: Tiny) -> None:
    """A silence clip names file, start and length, has a gain and no speaker, and its path is its own."""
    clips = [clip for clip in list_clips(tiny.manifest, tiny.root) if clip.label == "_silence_"]
    assert _counts(clips) == {"test _silence_": 2, "train _silence_": 4, "validation _silence_": 2}
    for clip in clips:
        assert clip.path == f"{clip.file}#{clip.start_sample}"
        assert clip.file in ("_background_noise_/rain.wav", "_background_noise_/street.wav")
        assert (clip.num_samples, clip.speaker_id) == (1_600, "")
        assert 0 <= float(clip.gain) <= 0.5


def test_draws_keep_to_the_splits_that_they_are_for(tiny: Tiny) -> None:
    """With `splits` a draw leaves the others alone."""
    tiny.edit("fraction = 0.5", 'fraction = 0.5\nsplits = ["train"]')
    labels = {clip.label for clip in list_clips(tiny.manifest, tiny.root) if clip.split != "train"}
    assert labels == {"yes", "no"}


def test_only_wav_files_are_clips(tiny: Tiny) -> None:
    """Hidden files, hidden folders and other files are left out; endings may be in capitals or doubled."""
    before = {clip.path for clip in source_clips(tiny.manifest, tiny.root)}
    for name in (".hidden.wav", ".cache/a.wav", "notes.txt", "a.wav.part"):
        write_wav(tiny.root / "yes" / name)
    for name in ("A.WAV", "b.wav.wav", "more/c.wav", "take#1.wav"):
        write_wav(tiny.root / "yes" / name)
    after = {clip.path for clip in source_clips(tiny.manifest, tiny.root)}
    assert after - before == {"yes/A.WAV", "yes/b.wav.wav", "yes/more/c.wav", "yes/take#1.wav"}


def test_a_missing_folder_holds_no_files(tmp_path: Path) -> None:
    """A label without a folder has no clips; the counts tell."""
    assert wav_files(tmp_path / "nowhere") == []


def test_a_file_in_the_place_of_a_label_is_refused(tiny: Tiny) -> None:
    """What cannot be read as a folder is an error, not a label without clips."""
    shutil.rmtree(tiny.root / "yes")
    (tiny.root / "yes").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot read the folder .*yes: Not a directory"):
        list_clips(tiny.manifest, tiny.root)


def test_names_that_are_no_text_are_refused(tiny: Tiny) -> None:
    """A file name in another encoding is shown, because no table can hold it."""
    try:
        (tiny.root / "yes" / os.fsdecode(b"\xff\xfe.wav")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(InputError) as caught:
        list_clips(tiny.manifest, tiny.root)
    assert r"'\udcff\udcfe.wav'" in str(caught.value)
    str(caught.value).encode()


def test_names_in_any_script_are_clips(tiny: Tiny) -> None:
    """A name in another script is text like any other."""
    write_wav(tiny.root / "yes" / "はい_nohash_0.wav")
    assert "yes/はい_nohash_0.wav" in {clip.path for clip in list_clips(tiny.manifest, tiny.root)}


def test_a_source_keeps_its_splits_and_labels(tiny: Tiny) -> None:
    """`keep` and `labels` leave the rest of an archive out."""
    tiny.edit(LISTS_RULE, f'{LISTS_RULE}\nkeep = ["test", "validation"]\nlabels = ["no"]')
    tiny.forget_counts()
    assert _counts(source_clips(tiny.manifest, tiny.root)) == {"test no": 2, "validation no": 2}


def test_the_folder_rule_reads_splits_from_folders(tiny: Tiny) -> None:
    """With folders named like splits, only the labels' folders below them count."""
    text = TINY_MANIFEST.partition("[expected.train]")[0].replace(LISTS_RULE, 'split = { rule = "folder" }')
    head, _, tail = text.partition("[unknown]")
    manifest = parse_manifest(head + tail[tail.index("[front_end]") :], "tiny.toml")
    for path in ("train/yes/a.wav", "validation/no/a.wav", "test/no/b.wav", "test/_silence_/c.wav", "test/bed/d.wav"):
        write_wav(tiny.root / path)
    assert _counts(list_clips(manifest, tiny.root)) == {
        "train yes": 1,
        "validation no": 1,
        "test no": 1,
        "test _silence_": 1,
    }


def test_silence_has_no_speaker_whatever_the_pattern(tiny: Tiny) -> None:
    """A pattern that matches the name of a noise file makes no speaker of it."""
    tiny.edit("/(?P<speaker>[0-9a-f]{8})_nohash_", "(?P<speaker>[a-z]+)")
    clips = list_clips(tiny.manifest, tiny.root)
    assert {clip.speaker_id for clip in clips if clip.label == "_silence_"} == {""}


def test_a_speaker_pattern_that_does_not_match_leaves_the_speaker_empty(tiny: Tiny) -> None:
    """Names without a speaker, and a group that takes no part in the match, give no speaker."""
    tiny.edit("/(?P<speaker>[0-9a-f]{8})_nohash_", "^(?:yes/(?P<speaker>[0-9a-f]{8})|no/)_?")
    clips = list_clips(tiny.manifest, tiny.root)
    assert {clip.speaker_id for clip in clips if clip.label == "no"} == {""}
    assert all(clip.speaker_id for clip in clips if clip.label == "yes")


@pytest.mark.parametrize("folders", ['["bed", "bed"]', '["yes/more", "bed"]'])
def test_a_clip_is_drawn_once(tiny: Tiny, folders: str) -> None:
    """A folder that is named twice for the draw, or lies inside a label's, cannot put a clip into the table twice."""
    write_wav(tiny.root / "yes" / "more" / "00000003_nohash_0.wav")
    tiny.edit('["bed", "cat"]', folders)
    tiny.edit("fraction = 0.5", "fraction = 9.0")
    with pytest.raises(InputError, match="clips twice, which makes overlapping splits"):
        list_clips(tiny.manifest, tiny.root)


def test_two_sources_cannot_share_a_clip(tiny: Tiny) -> None:
    """A clip that two sources give to two splits is named with both."""
    again = f'[[sources]]\nlayout = "folders"\narchive = "tiny_words"\n{HASH_RULE}\n\n[unknown]'
    tiny.edit("[unknown]", again)
    with pytest.raises(InputError, match="overlapping splits") as caught:
        list_clips(tiny.manifest, tiny.root)
    assert sum(problem.count for problem in caught.value.problems) == 16
    assert "the clip in the split" in caught.value.problems[0].found


def test_missing_audio_says_how_to_get_it(tiny: Tiny) -> None:
    """Where the audio root is not there, the remedy is the command that brings it."""
    with pytest.raises(InputError, match="run `kwsbench data fetch tiny`"):
        list_clips(tiny.manifest, tiny.root / "nowhere")


@pytest.mark.parametrize("damage", ["missing", "empty", "damaged"])
def test_noise_that_cannot_be_used_is_named(tiny: Tiny, damage: str) -> None:
    """Without its noise, or with a file of it that is no WAV, there is no silence to draw."""
    folder = tiny.root / "_background_noise_"
    if damage == "damaged":
        (folder / "rain.wav").write_bytes(b"RIFF")
    else:
        shutil.rmtree(folder)
        (tiny.root if damage == "missing" else folder).mkdir(exist_ok=True)
    with pytest.raises(InputError, match=r"the background noise in .* cannot be used") as caught:
        list_clips(tiny.manifest, tiny.root)
    assert ("rain.wav" if damage == "damaged" else "kwsbench data fetch") in str(caught.value)


# Several archives


def test_paths_of_several_archives_begin_with_their_folder(tmp_path: Path) -> None:
    """The official test archive and the main one lie side by side, and the same name in both is two clips."""
    manifest = _shipped("speech_commands_v2_12")
    main, test = tmp_path / "speech_commands_v0.02", tmp_path / "speech_commands_test_set_v0.02"
    for word in ("yes", "backward"):
        for name in ("0c540988_nohash_0.wav", "0c540988_nohash_1.wav"):
            write_wav(main / word / name)
    write_wav(main / "_background_noise_" / "rain.wav", 400_000)
    (main / "validation_list.txt").write_text("yes/0c540988_nohash_0.wav\nbackward/0c540988_nohash_0.wav\n", "utf-8")
    (main / "testing_list.txt").write_text("yes/0c540988_nohash_1.wav\n", "utf-8")
    write_wav(test / "yes" / "0c540988_nohash_1.wav")
    write_wav(test / "_unknown_" / "backward_0c540988_nohash_0.wav.wav")
    write_wav(test / "_silence_" / "rain.wav_000.wav")
    clips = {clip.path: (clip.label, clip.split, clip.speaker_id) for clip in list_clips(manifest, tmp_path)}
    silence = {path: clip for path, clip in clips.items() if "#" in path}
    assert {path: clip for path, clip in clips.items() if "#" not in path} == {
        "speech_commands_v0.02/yes/0c540988_nohash_0.wav": ("yes", "validation", "0c540988"),
        "speech_commands_v0.02/backward/0c540988_nohash_0.wav": ("_unknown_", "validation", "0c540988"),
        "speech_commands_test_set_v0.02/yes/0c540988_nohash_1.wav": ("yes", "test", "0c540988"),
        "speech_commands_test_set_v0.02/_unknown_/backward_0c540988_nohash_0.wav.wav": (
            "_unknown_",
            "test",
            "0c540988",
        ),
        "speech_commands_test_set_v0.02/_silence_/rain.wav_000.wav": ("_silence_", "test", ""),
    }
    assert set(silence.values()) == {("_silence_", "validation", "")}
    assert all(path.startswith("speech_commands_v0.02/_background_noise_/rain.wav#") for path in silence)


def test_one_of_several_archives_is_not_enough(tmp_path: Path) -> None:
    """The archive that is missing is named."""
    (tmp_path / "speech_commands_v0.02").mkdir()
    for name in ("validation_list.txt", "testing_list.txt"):
        (tmp_path / "speech_commands_v0.02" / name).write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"the audio of 'speech_commands_test_set_v0\.02' is not there"):
        list_clips(_shipped("speech_commands_v2_12"), tmp_path)


# Shipped manifests on small folders


@pytest.mark.parametrize("name", ["speech_commands_v1_30", "speech_commands_v2_35"])
def test_every_word_of_speech_commands_is_a_label(tmp_path: Path, name: str) -> None:
    """One clip per word and split gives one clip per label and split."""
    manifest = _shipped(name)
    lists = {"validation": "validation_list.txt", "test": "testing_list.txt"}
    for number, split in enumerate(SPLITS):
        paths = [f"{word}/{number:08x}_nohash_0.wav" for word in manifest.keywords]
        for path in paths:
            write_wav(tmp_path / path, 1)
        if split in lists:
            (tmp_path / lists[split]).write_text("\n".join(paths), encoding="utf-8")
    clips = list_clips(manifest, tmp_path)
    assert _counts(clips) == {f"{split} {word}": 1 for split in SPLITS for word in manifest.keywords}


def test_mini_speech_commands_is_split_by_hash(tmp_path: Path) -> None:
    """Without lists, official entries of each split fall into their split by the hash of the name."""
    splits = {"bb05582b": "test", "a69b9b3e": "validation", "8012c69d": "train"}
    for speaker in splits:
        write_wav(tmp_path / "right" / f"{speaker}_nohash_0.wav", 1)
    clips = list_clips(_shipped("mini_speech_commands_8"), tmp_path)
    assert {clip.speaker_id: clip.split for clip in clips} == splits


def test_the_synthesised_set_is_read_from_folders_of_splits(tmp_path: Path) -> None:
    """What the synthesis writes is listed with the voice as the speaker."""
    write_wav(tmp_path / "train" / "yes" / "en-us+m1-000-13.wav", 1)
    write_wav(tmp_path / "test" / "_silence_" / "ru+f3-silence-2.wav", 1)
    clips = list_clips(_shipped("espeak_12"), tmp_path)
    assert {(clip.label, clip.split) for clip in clips} == {("yes", "train"), ("_silence_", "test")}
    assert {clip.speaker_id for clip in clips if clip.label == "yes"} == {"en-us+m1"}


# The course's layout: CSVs


@pytest.fixture
def sber(tmp_path: Path) -> Path:
    """The homework in the form that the course hands it out, with a few rows."""
    _write_table(
        tmp_path / "train" / "manifest_train.csv",
        [("path", "label"), ("clips/a.wav", "sber"), ("clips/b.wav", "filler"), ("clips/c.wav", "joy")],
    )
    _write_table(tmp_path / "train" / "manifest_val.csv", [("path", "label"), ("clips/d.wav", "afina")])
    _write_table(tmp_path / "test" / "manifest.csv", [("index", "path"), ("00176480", "a.wav"), ("1", "b.wav")])
    return tmp_path


def _sber_error(root: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        list_clips(_shipped("sber_keywords_5"), root)
    return caught.value


def test_the_homework_is_read_as_handed_out(sber: Path) -> None:
    """Paths are relative to their CSV, ids are text, rows without an id are numbered, test labels are the host's."""
    clips = list_clips(_shipped("sber_keywords_5"), sber)
    assert [(clip.file, clip.label, clip.split, clip.clip_id) for clip in clips] == [
        ("test/a.wav", "", "test", "00176480"),
        ("test/b.wav", "", "test", "1"),
        ("train/clips/a.wav", "sber", "train", "0"),
        ("train/clips/b.wav", "filler", "train", "1"),
        ("train/clips/c.wav", "joy", "train", "2"),
        ("train/clips/d.wav", "afina", "validation", "0"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_tables_may_come_from_a_spreadsheet(sber: Path, encoding: str) -> None:
    """A byte order mark, columns in another order and further ones, quotes and empty lines change nothing."""
    text = 'label,extra,path\r\njoy,1,"clips/a, b.wav"\r\n\r\nsber,2,./clips//c.wav\r\n'
    (sber / "train" / "manifest_train.csv").write_text(text, encoding=encoding, newline="")
    clips = [clip for clip in list_clips(_shipped("sber_keywords_5"), sber) if clip.split == "train"]
    assert [(clip.file, clip.label, clip.clip_id) for clip in clips] == [
        ("train/clips/a, b.wav", "joy", "0"),
        ("train/clips/c.wav", "sber", "1"),
    ]


def test_wrong_rows_are_named_all_at_once(sber: Path) -> None:
    """Labels that the manifest has not and paths that lead out are counted together, each with its line."""
    rows = [
        ("path", "label"),
        ("a.wav", "Sber"),
        ("../b.wav", "joy"),
        ("/etc/c.wav", "joy"),
        ("", "joy"),
        ("e.wav", ""),
        ("f.wav",),
    ]
    _write_table(sber / "train" / "manifest_train.csv", rows)
    error = _sber_error(sber)
    assert "has 6 wrong rows" in error.message
    assert [str(problem).partition(":")[0].rpartition(", ")[2] for problem in error.problems] == [
        "line 2",
        "line 6",
        "line 7",
        "line 3",
        "line 4",
        "line 5",
    ]
    assert "found the label 'Sber', expected one of sber, joy, afina, salut, filler; did you mean 'sber'?" in str(error)
    assert "found the path '../b.wav', expected a path below the folder of train/manifest_train.csv" in str(error)


def test_lines_are_counted_as_an_editor_does(sber: Path) -> None:
    """Empty lines before a wrong row do not shift the line that is named."""
    text = "path,label\n\n\na.wav,joy\n\nb.wav,sbr\n"
    (sber / "train" / "manifest_train.csv").write_text(text, encoding="utf-8")
    assert _sber_error(sber).problems[0].where == "train/manifest_train.csv, line 6"


def test_a_missing_column_is_named(sber: Path) -> None:
    """The header is shown beside the columns that it should have."""
    _write_table(sber / "test" / "manifest.csv", [("idx", "path"), ("0", "a.wav")])
    error = _sber_error(sber)
    assert "manifest.csv lacks a column" in error.message
    assert "line 1: found idx, path, expected the columns path, index" in str(error)


def test_an_empty_table_lacks_its_columns(sber: Path) -> None:
    """A file of no bytes is told as such."""
    (sber / "train" / "manifest_val.csv").write_text("", encoding="utf-8")
    assert "found an empty file, expected the columns path, label" in str(_sber_error(sber))


@pytest.mark.parametrize("content", [None, b"path,label\n\xff.wav,joy\n", "path,label\n".encode("utf-16")])
def test_a_table_that_cannot_be_read_is_named(sber: Path, content: bytes | None) -> None:
    """A missing table and one in another encoding are errors that name the file."""
    table = sber / "train" / "manifest_val.csv"
    table.unlink()
    if content is not None:
        table.write_bytes(content)
    assert str(_sber_error(sber)).startswith(f"cannot read the table {table}")


def test_ids_are_there_and_unique(sber: Path) -> None:
    """An id that is empty or given twice in one split could not be scored, so it is refused."""
    table = sber / "test" / "manifest.csv"
    _write_table(table, [("index", "path"), ("0", "a.wav"), ("", "b.wav")])
    assert "test/manifest.csv, line 3: found an empty index" in str(_sber_error(sber))
    _write_table(table, [("index", "path"), ("0", "a.wav"), ("0", "b.wav")])
    assert "test/b.wav: found the index '0', which test/a.wav has too" in str(_sber_error(sber))


def test_a_file_that_two_tables_list_is_in_two_splits(sber: Path) -> None:
    """Training and validation tables that share a file, spelt alike or not, are overlapping splits."""
    _write_table(sber / "train" / "manifest_val.csv", [("path", "label"), ("./clips/a.wav", "sber")])
    assert "train/clips/a.wav: found the clip in the split train and again in validation" in str(_sber_error(sber))


def test_a_table_may_lie_in_the_root(tmp_path: Path) -> None:
    """The paths of a CSV that lies in no folder are relative to the audio root."""
    manifest = _shipped("sber_keywords_5")
    source = manifest.sources[0].model_copy(update={"table": "train.csv"})
    _write_table(tmp_path / "train.csv", [("path", "label"), ("a.wav", "joy")])
    (clip,) = list_clips(manifest.model_copy(update={"sources": (source,)}), tmp_path)
    assert clip.path == "a.wav"


def test_the_homework_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    """The remedy for data behind a login is what the manifest tells a person to do."""
    assert "sign in to Kaggle" in str(_sber_error(tmp_path / "nowhere"))
