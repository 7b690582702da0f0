"""Which truth belongs to which predictions: prepared data sets as `kwsbench data prepare` leaves them, and tables."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from kwsbench.dataset.clips import CLIP_COLUMNS
from kwsbench.dataset.places import Places
from kwsbench.errors import InputError
from kwsbench.score.truth import TruthOptions, TruthSource, find_truth

MANIFEST = """
name = "{name}"
revision = 2
title = "Two words"
description = "Two words and other sounds."
source = "here"
citation = "none"
licence = "CC0-1.0"
languages = ["en"]
sample_rate_hz = 16000
clip_length_s = 1.0
keywords = ["yes", "on"]
background_labels = ["_unknown_"]
id_column = "{id_column}"

[[archives]]
folder = "words"
file = "words.zip"
manual = "Ask somebody for it."

[[sources]]
archive = "words"
{source}

[front_end]
kind = "log_mel"
window_samples = 480
hop_samples = 160
n_fft = 512
num_mels = 40
"""
FOLDERS = """layout = "folders"
split = { rule = "folder" }"""
TABLE = """layout = "csv"
table = "test.csv"
split = "test"
id_column = "index"
"""
CLIPS = [
    ("yes/1.wav", "yes", "00176480"),
    ("on/2.wav", "on", "1641e121"),
    ("007.wav", "_unknown_", ""),
    ("4.wav", "on", "null"),
]


def _manifest(name: str, id_column: str) -> str:
    return MANIFEST.format(name=name, id_column=id_column, source=FOLDERS if id_column == "path" else TABLE)


def _prepare(root: Path, name: str, ids: Sequence[str], *, id_column: str = "path", host_labels: bool = False) -> Path:
    """A prepared data set: the given ids as test split, and those with `v` before them as validation split."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "manifest.toml").write_text(_manifest(name, id_column), encoding="utf-8")
    (folder / "prepared.json").write_text(json.dumps({"audio_root": ".", "complete": True}), encoding="utf-8")
    rows = []
    for split, prefix in (("test", ""), ("validation", "v")):
        for number, clip_id in enumerate(ids):
            _, label, speaker = CLIPS[number % len(CLIPS)]
            path = clip_id if id_column == "path" else f"{split}{number}.wav"
            row = [prefix + path, "" if host_labels else label, split, speaker, 0, 16000, 1.0, "0" * 64]
            rows.append([*row, *([] if id_column == "path" else [prefix + clip_id])])
    own_id = {} if id_column == "path" else {id_column: pl.String()}
    pl.DataFrame(rows, schema=CLIP_COLUMNS | own_id, orient="row").write_csv(folder / "clips.csv")
    return folder


IDS = [clip_id for clip_id, _, _ in CLIPS]


def _predictions(folder: Path, ids: Sequence[str], id_column: str = "path") -> Path:
    path = folder / "preds.csv"
    path.write_text(f"{id_column},label\n" + "".join(f"{clip_id},yes\n" for clip_id in ids), encoding="utf-8")
    return path


def _found(tmp_path: Path, ids: Sequence[str], id_column: str = "path", **options: object) -> TruthSource:
    places = Places(tmp_path / "data")
    return find_truth(_predictions(tmp_path, ids, id_column), TruthOptions(places, **options))  # type: ignore[arg-type]


def _message(tmp_path: Path, ids: Sequence[str], **options: object) -> str:
    with pytest.raises(InputError) as caught:
        _found(tmp_path, ids, **options)
    return str(caught.value)


def test_the_data_set_with_the_same_ids_is_found(tmp_path: Path) -> None:
    """The one prepared data set whose test clips are those of the predictions is the truth."""
    table = _prepare(tmp_path / "data", "words", IDS) / "clips.csv"
    _prepare(tmp_path / "data", "others", ["x.wav", "y.wav"])
    found = _found(tmp_path, list(reversed(IDS)))
    assert found.manifest is not None
    assert (found.manifest.name, found.id_column) == ("words", "path")
    assert found.origin == "words (revision 2), test split"
    assert found.data_sha256 == hashlib.sha256(table.read_bytes()).hexdigest()
    truth = found.truth
    assert (truth.labels, truth.num_keywords) == (("yes", "on", "_unknown_"), 2)
    assert truth.clip_ids.to_list() == IDS
    assert truth.truth.tolist() == [0, 1, 2, 1]
    assert truth.speakers.to_list() == ["00176480", "1641e121", "", "null"]


def test_nothing_prepared_is_said_so(tmp_path: Path) -> None:
    """Without a prepared data set the message says how to get one, and what to do without."""
    message = _message(tmp_path, IDS)
    assert "nothing is prepared in" in message
    assert "kwsbench data prepare" in message
    assert "--truth" in message


def test_no_match_names_what_is_prepared(tmp_path: Path) -> None:
    """Predictions that fit nothing end in an error that names the prepared data sets."""
    _prepare(tmp_path / "data", "words", IDS)
    _prepare(tmp_path / "data", "others", ["x.wav", "y.wav"])
    message = _message(tmp_path, ["a.wav", "b.wav"])
    assert "fits no prepared data set" in message
    assert "others, words" in message
    assert "--manifest" in message


def test_another_split_is_recognised(tmp_path: Path) -> None:
    """Predictions for the validation split, scored as test, are told which split they are for."""
    _prepare(tmp_path / "data", "words", IDS)
    message = _message(tmp_path, [f"v{clip_id}" for clip_id in IDS])
    assert (
        "not those of the test split, but those of the validation split of words; score with --split validation"
        in message
    )
    assert _found(tmp_path, [f"v{clip_id}" for clip_id in IDS], split="validation").origin.endswith("validation split")


def test_several_matches_are_named(tmp_path: Path) -> None:
    """Two data sets with the same clips are an error that names both; naming one settles it."""
    for name in ("words", "words_again", "others"):
        _prepare(tmp_path / "data", name, IDS if name != "others" else ["x.wav"])
    message = _message(tmp_path, IDS)
    assert "fits several prepared data sets (words, words_again)" in message
    assert "--manifest" in message
    assert _found(tmp_path, IDS, manifest="words_again").origin.startswith("words_again")


def test_an_exact_match_wins_over_a_near_one(tmp_path: Path) -> None:
    """A data set with exactly these ids is taken although another one shares most of them."""
    many = [f"{number}.wav" for number in range(20)]
    _prepare(tmp_path / "data", "nearly", many[:-1])
    _prepare(tmp_path / "data", "words", many)
    assert _found(tmp_path, many).origin.startswith("words")


def test_a_near_match_is_taken_so_that_the_reader_can_say_what_is_wrong(tmp_path: Path) -> None:
    """Predictions that lack a few rows still find their data set, and reading them then names the rows."""
    many = [f"{number}.wav" for number in range(20)]
    _prepare(tmp_path / "data", "words", many)
    assert _found(tmp_path, many[:-3]).origin.startswith("words")


def test_the_id_column_must_be_there(tmp_path: Path) -> None:
    """A data set whose id column is not in the file does not match; the one with that column does."""
    _prepare(tmp_path / "data", "by_path", ["1", "2"])
    _prepare(tmp_path / "data", "by_index", ["1", "2"], id_column="index")
    found = _found(tmp_path, ["2", "1"], "index")
    assert found.origin.startswith("by_index")
    assert found.id_column == "index"
    assert found.truth.clip_ids.to_list() == ["1", "2"]


def test_a_header_without_any_id_column_is_named(tmp_path: Path) -> None:
    """Where no column can hold ids, the message shows the columns and says which one is missing."""
    _prepare(tmp_path / "data", "by_path", ["1", "2"])
    with pytest.raises(InputError) as caught:
        _found(tmp_path, ["2", "1"], "file")
    (problem,) = caught.value.problems
    assert problem.where.endswith("line 1")
    assert "file, label" in problem.found
    assert "'path'" in problem.expected


def test_a_part_of_a_data_set_is_called_one(tmp_path: Path) -> None:
    """Where `prepare --partial` took less than the manifest expects, the origin of every score says so."""
    folder = _prepare(tmp_path / "data", "words", IDS)
    assert _found(tmp_path, IDS).origin == "words (revision 2), test split"
    (folder / "prepared.json").write_text(json.dumps({"audio_root": ".", "complete": False}), encoding="utf-8")
    assert _found(tmp_path, IDS).origin == "a part of words (revision 2), test split"


@pytest.mark.parametrize("content", ["path,path\nx,y,z\n", "path\n", "path,label\n\n\n", "label,path\nyes\n"])
def test_a_broken_file_may_match_nothing(tmp_path: Path, content: str) -> None:
    """A file without readable ids ends in an InputError, not in an exception of the reader."""
    _prepare(tmp_path / "data", "words", IDS)
    path = tmp_path / "preds.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="fits no prepared data set"):
        find_truth(path, TruthOptions(Places(tmp_path / "data")))


@pytest.mark.parametrize(
    "line", [b'"4.wav,on\n', b'"4.wav"x,on\n', b"4.wav,o\xffn\n", b"4.wav,on,on\n", b'4.wav,on,"\n']
)
def test_a_broken_line_does_not_hide_the_data_set(tmp_path: Path, line: bytes) -> None:
    """A file with one line that cannot be read still finds its data set, so that the line can be named."""
    _prepare(tmp_path / "data", "words", IDS)
    path = tmp_path / "preds.csv"
    path.write_bytes(b"path,label\n" + b"".join(f"{clip_id},yes\n".encode() for clip_id in IDS[:-1]) + line)
    assert find_truth(path, TruthOptions(Places(tmp_path / "data"))).origin.startswith("words")


def test_labels_of_the_host_cannot_be_scored(tmp_path: Path) -> None:
    """A split without labels is refused, with the way to score it from a truth table."""
    _prepare(tmp_path / "data", "words", IDS, host_labels=True)
    message = _message(tmp_path, IDS)
    assert "the labels of words, split test, are the host's" in message
    assert "--truth" in message


def test_labels_that_the_manifest_does_not_have_are_refused(tmp_path: Path) -> None:
    """A table that somebody changed by hand ends in a message."""
    table = _prepare(tmp_path / "data", "words", IDS) / "clips.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",on,", ",off,"), encoding="utf-8")
    assert "has labels that words does not have; prepare it again" in _message(tmp_path, IDS)


def test_a_manifest_that_is_not_prepared_is_said_so(tmp_path: Path) -> None:
    """Naming a shipped manifest that is not prepared says how to prepare it."""
    assert "run `kwsbench data prepare espeak_12`" in _message(tmp_path, IDS, manifest="espeak_12")


def _table(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "truth.csv"
    path.write_text(content, encoding="utf-8")
    return path


def test_a_truth_table_needs_no_data_set(tmp_path: Path) -> None:
    """Labels that begin with `_` or are given as background are background, all others keywords."""
    table = _table(tmp_path, "clip,label,speaker_id\n007,on,1e5\n1e1,_no_,\nnull,filler,null\n")
    found = _found(tmp_path, ["007"], table=table, background=["filler"])
    assert (found.manifest, found.id_column, found.origin) == (None, "clip", str(table))
    assert found.data_sha256 == hashlib.sha256(table.read_bytes()).hexdigest()
    assert (found.truth.labels, found.truth.num_keywords) == (("on", "_no_", "filler"), 1)
    assert found.truth.clip_ids.to_list() == ["007", "1e1", "null"]
    assert found.truth.speakers.to_list() == ["1e5", "", "null"]


def test_without_the_option_only_an_underscore_makes_background(tmp_path: Path) -> None:
    """A label that is not given as background and has no underscore is a keyword."""
    found = _found(tmp_path, ["a"], table=_table(tmp_path, "path,label\na,on\nb,_no_\nc,filler\n"))
    assert (found.truth.labels, found.truth.num_keywords) == (("filler", "on", "_no_"), 2)


def test_unknown_background_is_an_error(tmp_path: Path) -> None:
    """A background label that the table does not have is an error that lists what it has."""
    table = _table(tmp_path, "path,label\na,on\nb,_no_\n")
    assert "no such label in" in _message(tmp_path, ["a"], table=table, background=["Filler"])


def test_a_manifest_gives_a_truth_table_its_labels(tmp_path: Path) -> None:
    """With a manifest the table's labels are the manifest's, in its order, and its id column is the manifest's."""
    manifest = tmp_path / "mine.toml"
    manifest.write_text(_manifest("mine", "index"), encoding="utf-8")
    table = _table(tmp_path, "index,label\n1,on\n2,_unknown_\n")
    found = _found(tmp_path, ["1"], manifest=str(manifest), table=table)
    assert found.manifest is not None
    assert (found.truth.labels, found.truth.num_keywords, found.id_column) == (("yes", "on", "_unknown_"), 2, "index")
    assert found.truth.truth.tolist() == [1, 2]
    strange = _table(tmp_path, "index,label\n1,off\n")
    assert "found label 'off', expected one of yes, on, _unknown_" in _message(
        tmp_path, ["1"], manifest=str(manifest), table=strange
    )
    other_ids = _table(tmp_path, "path,label\n1,on\n")
    assert "also the column index" in _message(tmp_path, ["1"], manifest=str(manifest), table=other_ids)
