"""What people get wrong: files, names, settings. Each is one error that says what to do, and no file changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import CommandLine, Tiny


def _drop_rows(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-2])


WRONG_TABLES: dict[str, tuple[Callable[[str], str | bytes], str]] = {
    "column": (lambda text: text.replace("path,label", "path,lable", 1), "did you mean 'label'?"),
    "case": (lambda text: text.replace(",high,", ",High,"), "did you mean 'high'?"),
    "missing": (_drop_rows, "no row for path"),
    "twice": (lambda text: text + text.splitlines()[3] + "\n", "each clip once"),
    "not a number": (lambda text: text.replace(text.splitlines()[2].split(",")[4], "nan"), "a finite number"),
    "UTF-16": (lambda text: text.encode("utf-16"), "save it as UTF-8"),
    "semicolons": (lambda text: text.replace(",", ";"), "save it with commas"),
    "binary": (lambda _: bytes(range(256)) * 8, "binary file"),
    "empty": (lambda _: "", "empty"),
}


@pytest.mark.parametrize("kind", WRONG_TABLES)
def test_a_wrong_table_is_one_error(kind: str, kws: CommandLine) -> None:
    """`score` names what is wrong with predictions, with the line where there is one, and writes nothing."""
    change, says = WRONG_TABLES[kind]
    changed = change((kws.folder / "preds.csv").read_text(encoding="utf-8"))
    (kws.folder / "bad.csv").write_bytes(changed.encode() if isinstance(changed, str) else changed)
    kws.fails(2, "score", "bad.csv", "--manifest", "tiny", "--out", "scores/preds", says=["bad.csv", says])


@pytest.mark.parametrize("kind", ["case", "UTF-16"])
def test_compare_says_which_of_the_two_is_wrong(kind: str, kws: CommandLine) -> None:
    """`compare` names the wrong one of its two tables."""
    changed = WRONG_TABLES[kind][0]((kws.folder / "preds.csv").read_text(encoding="utf-8"))
    (kws.folder / "bad.csv").write_bytes(changed.encode() if isinstance(changed, str) else changed)
    kws.fails(2, "compare", "preds.csv", "bad.csv", says=["Error: bad.csv"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("score data", "cannot read data: is a directory"),
        ("score nothing.csv", "cannot read nothing.csv: no such file"),
        ("score preds.csv --data nowhere", "nothing is prepared in nowhere"),
        ("score preds.csv --manifest sber_keywords_5", "run `kwsbench data prepare sber_keywords_5`"),
        ("score preds.csv --manifest espeak12", "did you mean 'espeak_12'?"),
        ("score preds.csv --manifest no/such.toml", "no manifest at no/such.toml"),
        ("score preds.csv --split validation", "those of the test split of tiny"),
        ("score preds.csv --manifest tiny --split validation", "is it another split or data set?"),
        ("score preds.csv --truth nothing.csv", "cannot read nothing.csv"),
        ("score preds.csv --background low", "--background goes with --truth"),
        ("score preds.csv --out preds.csv", "preds.csv is a file, not a folder"),
        ("score preds.csv --out data/tiny/clips.csv/deeper", "is a file, not a folder"),
        ("data prepare espeak_12 --from nowhere", "nowhere"),
        ("data prepare sber_keywords_5", "sign in to Kaggle"),
        ("data verify speech_commands_v1_12", "is not prepared in data"),
        ("data show nothing", "no manifest is called 'nothing'"),
        ("data synth sber_keywords_5", "is downloaded, not synthesised"),
        ("data fetch espeak_12", "run `kwsbench data synth espeak_12`"),
        ("data fetch sber_keywords_5", "cannot be downloaded without a login"),
        ("data sample-submission tiny -o data", "cannot write data: it is a folder"),
        ("train tiny --manifest tiny --baselines nowhere", "no folder with baselines at nowhere"),
        ("train mfcc_lightbgm --manifest tiny", "did you mean 'mfcc_lightgbm'?"),
        ("train no/such.py --manifest tiny", "no baseline at no/such.py"),
        ("train mfcc_lightgbm --manifest tiny -o models", "cannot write models: it is a folder"),
    ],
)
def test_a_wrong_name_is_one_error(words: str, says: str, kws: CommandLine) -> None:
    """A file, data set, split or folder that is not there or not meant is named, with what to do."""
    kws.fails(2, *words.split(), says=[says])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["num_leaves"], ["--set num_leaves: found 'num_leaves', expected key=value"]),
        (["num_leavs=3", "num_leaves=many"], ["did you mean 'num_leaves'?", "expected an integer"]),
        (["learning_rate=nan", "with_deviation=1"], ["expected a number", "expected true or false"]),
        (["num_leaves=0"], ["LightGBM refuses the configuration of tiny", "num_leaves"]),
        (["boosting=magic"], ["Unknown boosting type magic"]),
        (["num_boost_round=0"], ["must be greater than 0"]),
    ],
    ids=lambda value: "_".join(value)[:30],
)
def test_a_wrong_setting_is_one_error(settings: list[str], says: list[str], kws: CommandLine, baselines: tuple) -> None:
    """`--set` with an unknown key, a value of another type or one that LightGBM refuses leaves the earlier model."""
    options = [part for setting in settings for part in ("--set", setting)]
    kws.fails(2, "train", "tiny", *baselines, "--manifest", "tiny", *options, says=says)


def _prepare_as(name: str, kws: CommandLine, tiny: Tiny, *changes: tuple[str, str]) -> None:
    text = (tiny.folder / "data/tiny/manifest.toml").read_text(encoding="utf-8")
    for old, new in (('name = "tiny"', f'name = "{name}"'), *changes):
        assert old in text
        text = text.replace(old, new)
    (kws.folder / f"{name}.toml").write_text(text, encoding="utf-8")
    kws.works("data", "prepare", f"{name}.toml", "--from", tiny.audio)


def test_several_data_sets_that_match_are_named(kws: CommandLine, tiny: Tiny) -> None:
    """Where predictions fit two prepared data sets, `score` asks for `--manifest` and does not choose."""
    _prepare_as("twin", kws, tiny)
    kws.fails(2, "score", "preds.csv", says=["fits several prepared data sets (tiny, twin)", "--manifest"])
    assert kws.works("score", "preds.csv", "--manifest", "twin", "--json").json["manifest"] == "twin"


def test_a_split_without_clips_says_so(kws: CommandLine, tiny: Tiny, baselines: tuple) -> None:
    """Predicting, scoring or sampling a split that the data set does not have is an error that names both."""
    text = (tiny.folder / "data/tiny/manifest.toml").read_text(encoding="utf-8")
    expected = text[text.index("[expected.test]") :]
    _prepare_as(
        *("no_test", kws, tiny),
        (expected, ""),
        ('split = { rule = "folder" }', 'split = { rule = "folder" }\nkeep = ["train", "validation"]'),
    )
    says = ["the data set no_test has no clips in the split 'test'"]
    kws.fails(2, "predict", "models/tiny/tiny.txt", *baselines, "--manifest", "no_test", says=says)
    kws.fails(2, "data", "sample-submission", "no_test", says=says)
    kws.fails(2, "score", "preds.csv", "--manifest", "no_test", says=says)


def test_other_counts_than_the_manifest_expects_are_a_failed_check(kws: CommandLine, tiny: Tiny) -> None:
    """`data prepare` exits with 1 where a clip is missing, leaves the earlier table, and goes on with `--partial`."""
    shutil.copytree(tiny.audio, kws.folder / "part")
    (kws.folder / "part/test/да/ivan-0.wav").unlink()
    words = ("data", "prepare", tiny.folder / "data/tiny/manifest.toml", "--from", "part")
    kws.fails(1, *words, says=["test, label да: found 5 clips, expected 6", "--partial"])
    ran = kws.works(*words, "--partial")
    assert ran.err.startswith("This is a part of tiny: results on it are not results on tiny.")


def test_a_manifest_that_has_changed_since_it_was_prepared_says_so(kws: CommandLine, tiny: Tiny) -> None:
    """Naming the file of a manifest that is no longer the prepared one asks to prepare again."""
    text = (tiny.folder / "data/tiny/manifest.toml").read_text(encoding="utf-8")
    (kws.folder / "tiny.toml").write_text(text.replace("revision = 3", "revision = 4"), encoding="utf-8")
    kws.fails(2, "score", "preds.csv", "--manifest", "./tiny.toml", says=["has changed since tiny was prepared"])
