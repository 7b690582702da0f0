"""The manifest schema: what it accepts, what it refuses, and how it says so."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kwsbench.errors import InputError
from kwsbench.manifest import Manifest, parse_manifest, read_manifest
from tests.conftest import MANIFESTS, TINY_MANIFEST

PROPERTY = settings(deadline=None, derandomize=True, max_examples=150, database=None)

SECOND_ARCHIVE = """[[archives]]
folder = "more"
file = "more.zip"
manual = "ask for it"

[[sources]]
layout = "folders"
archive = "more"
split = { rule = "whole", split = "test" }

[unknown]"""

CSV_SOURCE = """[[sources]]
layout = "csv"
archive = "tiny_words"
table = "train.csv"
split = "train"

[[sources]]
layout = "csv"
archive = "tiny_words"
table = "test.csv"
split = "test"

[front_end]"""


def _edited(*edits: tuple[str, str]) -> str:
    text = TINY_MANIFEST
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text


def _csv_only(text: str) -> str:
    """The tiny manifest with two CSV tables in the place of its folders and draws."""
    head, _, rest = text.partition("[[sources]]")
    tail = rest.partition("[front_end]")[2].partition("[expected.train]")[0]
    return head + CSV_SOURCE + tail


def _refusal(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        parse_manifest(text, "tiny.toml")
    return caught.value


def test_a_manifest_is_read_as_written() -> None:
    """Fields arrive with their values, absent ones with their defaults."""
    manifest = parse_manifest(TINY_MANIFEST, "tiny.toml")
    assert manifest.labels == ("yes", "no", "_unknown_", "_silence_")
    assert manifest.clip_samples == 1_600
    assert (manifest.id_column, manifest.budget.max_params, manifest.clips_sha256) == ("path", None, None)
    assert manifest.silence is not None
    assert (manifest.silence.gain_min, manifest.silence.gain_max) == (0.0, 0.5)


def test_paths_name_the_archive_only_where_there_are_several() -> None:
    """One archive is the audio root; several are folders in it."""
    one = parse_manifest(TINY_MANIFEST, "tiny.toml")
    several = parse_manifest(_edited(("[unknown]", SECOND_ARCHIVE)), "tiny.toml")
    assert one.path_prefix("tiny_words") == ""
    assert several.path_prefix("tiny_words") == "tiny_words/"


def test_a_manifest_cannot_be_changed() -> None:
    """What was parsed is frozen."""
    manifest = parse_manifest(TINY_MANIFEST, "tiny.toml")
    with pytest.raises(ValidationError):
        manifest.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "true", "00176480", "1641e121", "はい"])
def test_words_are_text(word: str) -> None:
    """Labels that other formats read as booleans or numbers stay what they are."""
    text = _csv_only(_edited(('keywords = ["yes", "no"]', f'keywords = ["{word}", "other"]')))
    assert parse_manifest(text, "tiny.toml").keywords == (word, "other")


@pytest.mark.parametrize("value", ["true", "176480", "1e3", "{}", "[]"])
def test_a_label_that_is_no_text_is_refused(value: str) -> None:
    """A bare boolean, number, table or list is not turned into a word."""
    assert "keywords.0" in str(_refusal(_edited(('keywords = ["yes", "no"]', f'keywords = [{value}, "no"]'))))


@pytest.mark.parametrize(
    ("table", "field", "hint"),
    [
        ("", 'citatoin = "x"', "citation"),
        ("[[archives]]", "byts = 5", "bytes"),
        ("[[sources]]", 'kep = ["train"]', "keep"),
        ("[unknown]", "fractoin = 0.1", "fraction"),
        ("[silence]", "gain_maxx = 1.0", "gain_max"),
        ("[front_end]", "num_mel = 5", "num_mels"),
    ],
)
def test_an_unknown_field_is_refused_with_a_hint(table: str, field: str, hint: str) -> None:
    """A slip in the name of a field is found in every table, with its place and the field that is meant."""
    text = _edited((table, f"{table}\n{field}")) if table else f"{field}\n{TINY_MANIFEST}"
    error = str(_refusal(text))
    assert "a field that no manifest has" in error
    assert f"did you mean '{hint}'?" in error
    assert field.partition(" ")[0] in error


def test_every_problem_is_named_at_once() -> None:
    """Three mistakes in three tables are three problems, each with its place."""
    error = _refusal(_edited(('licence = "CC0-1.0"\n', ""), ("n_fft = 512", "n_fft = 0"), ("fraction", "fractoin")))
    places = {problem.where for problem in error.problems}
    assert {"tiny.toml, field licence", "tiny.toml, field front_end.n_fft"} <= places
    assert {"tiny.toml, field unknown.fractoin", "tiny.toml, field unknown.fraction"} <= places
    assert error.message == f"the manifest tiny.toml has {len(error.problems)} problems"


def test_a_missing_field_is_named() -> None:
    """A field that has to be there is asked for by name."""
    error = _refusal(_edited(("revision = 1\n", "")))
    assert str(error.problems[0]) == "tiny.toml, field revision: found nothing, expected this field; add it"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "..", "../a", "a/../b", "a\\\\b", "", "a//b", "./a", "a/", "a\\u0000b"]
)
@pytest.mark.parametrize("field", ['folder = "tiny_words"', 'test = "testing_list.txt"', 'folders = ["bed", "cat"]'])
def test_paths_stay_inside_the_audio(path: str, field: str) -> None:
    """An absolute path, one with `..`, empty parts, backslashes or control characters is refused in every field."""
    name, _, value = field.partition(" = ")
    new = f'["{path}"]' if value.startswith("[") else f'"{path}"'
    assert "a relative path" in str(_refusal(_edited((field, f"{name} = {new}"))))


@pytest.mark.parametrize("label", ["a b", "a,b", "a/b", "..", ".", ".hidden", "a\\\\b", "", "a'b", "a;b", "a\\nb"])
def test_labels_are_plain_words(label: str) -> None:
    """A label is a cell of a CSV and the name of a folder, so it holds nothing that either could trip over."""
    assert "keywords.1" in str(_refusal(_edited(('["yes", "no"]', f'["yes", "{label}"]'))))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("clip_length_s = 0.1", "clip_length_s = inf", "clip_length_s"),
        ("clip_length_s = 0.1", "clip_length_s = nan", "clip_length_s"),
        ("clip_length_s = 0.1", "clip_length_s = 16000", "clip_length_s"),
        ("clip_length_s = 0.1", 'clip_length_s = "0.1"', "clip_length_s"),
        ("sample_rate_hz = 16000", "sample_rate_hz = 16000.5", "sample_rate_hz"),
        ("sample_rate_hz = 16000", "sample_rate_hz = true", "sample_rate_hz"),
        ("revision = 1", "revision = 0", "revision"),
        ("fraction = 0.5", "fraction = inf", "unknown.fraction"),
        ("fraction = 0.5", "fraction = -0.5", "silence.fraction"),
        ("gain_max = 0.5", "gain_max = 1.5", "silence.gain_max"),
        ("yes = 4", "yes = -4", "expected.train.yes"),
        ("[expected.train]", "[expected.training]", "expected.training"),
        ('name = "tiny"', 'name = "../tiny"', "name"),
        ('"http://127.0.0.1/tiny_words.zip"', '"file:///etc/passwd"', "archives.0.url"),
        ('layout = "folders"', 'layout = "folder"', "sources.0"),
        ("n_fft = 512", "n_fft = 512\nlog_floor = inf", "front_end.log_floor"),
        ('"_silence_"]\nspeaker', '"_silence_"]\nclips_sha256 = "abc"\nspeaker', "clips_sha256"),
    ],
)
def test_values_out_of_range_are_refused(old: str, new: str, place: str) -> None:
    """A value of the wrong type or outside its range is named by its field."""
    error = _refusal(_edited((old, new)))
    assert any(problem.where.startswith(f"tiny.toml, field {place}") for problem in error.problems)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('["yes", "no"]', '["yes", "yes"]', "the label 'yes' appears twice"),
        ('["yes", "no"]', '["yes", "_silence_"]', "the label '_silence_' appears twice"),
        ("(?P<speaker>[0-9a-f]{8})", "([0-9a-f]{8})", "needs a group (?P<speaker>...)"),
        ("(?P<speaker>", "(?P<speaker", "no regular expression"),
        ('archive = "tiny_words"\nsplit', 'archive = "other"\nsplit', "archive 'other' is not among [[archives]]"),
        ('label = "_unknown_"', 'label = "yes"', "the label 'yes' is not among background_labels"),
        ("yes = 4", "yse = 4", "[expected] names the label 'yse'"),
        ("\n[unknown]", 'labels = ["yes", "bed"]\n[unknown]', "[[sources]] names the label 'bed'"),
        ('["bed", "cat"]', '["bed", "yes"]', "draws from the folder 'yes', which is the label of a source"),
        ("gain_max = 0.5", "gain_max = 0.5\ngain_min = 0.6", "gain_min 0.6 is over gain_max 0.5"),
        ("revision = 1", 'revision = 1\nid_column = "label"', "id_column 'label' is the name of another column"),
        ("revision = 1", 'revision = 1\nid_column = "a,b"', "id_column 'a,b'"),
        ("revision = 1", 'revision = 1\nid_column = "index"', "only clips that are listed in a CSV"),
        ('checksum_note = "It is made up."\n', "", "says why in `checksum_note`"),
        ('url = "http', 'manual = "ask"\nurl = "http', "either `url` or `manual`"),
        ("n_fft = 512", "n_fft = 2048", "n_fft 2048, and a clip has 1600 samples"),
        ("n_fft = 512", "n_fft = 256", "window_samples is over n_fft"),
        ("num_mels = 20", "num_mels = 20\nf_max_hz = 8001.0", "do not fit below half the sample rate, 8000 Hz"),
        ("num_mels = 20", "num_mels = 20\nf_min_hz = 8000.0", "do not fit below half the sample rate, 8000 Hz"),
    ],
)
def test_contradictions_are_refused(old: str, new: str, says: str) -> None:
    """Fields that are fine one by one and do not fit together are an error that says which."""
    assert says in str(_refusal(_edited((old, new))))


def test_archives_have_names_of_their_own() -> None:
    """Two archives cannot be unpacked into the same folder or kept under the same file name."""
    again = SECOND_ARCHIVE.replace('"more"', '"tiny_words"')
    assert "two [[archives]] are called 'tiny_words'" in str(_refusal(_edited(("[unknown]", again))))
    again = SECOND_ARCHIVE.replace("more.zip", "tiny_words.zip")
    assert "two [[archives]] are called 'tiny_words.zip'" in str(_refusal(_edited(("[unknown]", again))))


def test_audio_comes_from_archives_or_from_synthesis() -> None:
    """A manifest without either has no audio, and is refused."""
    head, _, rest = TINY_MANIFEST.partition("[[archives]]")
    text = f"{head}[[sources]]{rest.partition('[[sources]]')[2]}"
    assert "either [[archives]] or [synthesis]" in str(_refusal(text))


def test_overlapping_splits_are_refused() -> None:
    """The same archive cannot be all of two splits, nor the same table two of them."""
    whole = 'layout = "folders"\narchive = "tiny_words"\nsplit = { rule = "whole", split = "%s" }\n\n'
    two = f"[[sources]]\n{whole % 'test'}[[sources]]\n{whole % 'train'}[unknown]"
    assert "is given to test and train" in str(_refusal(_edited(("[unknown]", two))))
    text = _csv_only(TINY_MANIFEST)
    assert "train.csv is listed for train and test" in str(_refusal(text.replace("test.csv", "train.csv")))


def test_the_shares_of_the_hash_rule_leave_something_for_training() -> None:
    """Validation and test together cannot be over 100 percent."""
    lists = 'split = { rule = "lists", validation = "validation_list.txt", test = "testing_list.txt" }'
    percents = 'split = { rule = "hash", validation_percent = 60, test_percent = 50 }'
    assert "together they are over 100" in str(_refusal(_edited((lists, percents))))


def test_other_words_need_a_rule_for_their_splits() -> None:
    """[unknown] borrows the rule of a folder source of its archive, so there has to be one."""
    draw = '[unknown]\nlabel = "_unknown_"\narchive = "tiny_words"\nfolders = ["bed"]\nfraction = 0.5\n\n[front_end]'
    assert "there is none" in str(_refusal(_csv_only(TINY_MANIFEST).replace("[front_end]", draw)))


@pytest.mark.parametrize(
    "text",
    ["name = ", "= 5", "[a\n", "revision = " + 5_000 * "9", "a = " + 3_000 * "[" + 3_000 * "]", "a = 1\na = 2", "\0"],
)
def test_text_that_is_no_toml_is_an_error(text: str) -> None:
    """Syntax errors, endless numbers and endless nesting are all told as invalid TOML."""
    assert str(_refusal(text)).startswith("the manifest tiny.toml is not valid TOML")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A missing file, a folder and bytes that are no UTF-8 are named with the reason."""
    (tmp_path / "latin.toml").write_bytes('title = "é"'.encode("latin-1"))
    reasons = {"missing.toml": "No such file", ".": "Is a directory", "latin.toml": "not UTF-8"}
    for name, reason in reasons.items():
        with pytest.raises(InputError, match=reason):
            read_manifest(tmp_path / name)


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    """A file saved by a Windows editor reads the same."""
    (tmp_path / "tiny.toml").write_text(TINY_MANIFEST.replace("\n", "\r\n"), encoding="utf-8-sig", newline="")
    assert read_manifest(tmp_path / "tiny.toml") == parse_manifest(TINY_MANIFEST, "tiny.toml")


def _parses_or_refuses(text: str) -> None:
    with suppress(InputError):
        assert isinstance(parse_manifest(text, "tiny.toml"), Manifest)


@PROPERTY
@given(st.text(max_size=200))
def test_any_text_gives_a_manifest_or_an_error(text: str) -> None:
    """No text makes the parser fail in another way."""
    _parses_or_refuses(text)


@PROPERTY
@given(st.sampled_from(MANIFESTS), st.integers(0, 4_000), st.integers(0, 40), st.text(max_size=6))
def test_any_damage_gives_a_manifest_or_an_error(path: Path, start: int, length: int, patch: str) -> None:
    """A real manifest with a piece cut out or written over parses or is refused, and never breaks the parser."""
    text = path.read_text(encoding="utf-8")
    _parses_or_refuses(text[:start] + patch + text[start + length :])


@PROPERTY
@given(st.data())
def test_any_value_in_any_place_gives_a_manifest_or_an_error(data: st.DataObject) -> None:
    """A value of any type in the place of any other parses or is refused."""
    lines = TINY_MANIFEST.splitlines()
    number = data.draw(st.sampled_from([number for number, line in enumerate(lines) if " = " in line]))
    value = data.draw(st.sampled_from(["0", "-1", "1.5", "inf", "nan", "true", '""', '"a"', "[]", "{}", "1979-05-27"]))
    lines[number] = f"{lines[number].partition(' = ')[0]} = {value}"
    _parses_or_refuses("\n".join(lines))
