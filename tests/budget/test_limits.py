"""Where the limits of a check come from, and what is said of limits that cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwsbench.budget.limits import (
    COMPETITION,
    FoundLimits,
    fill_from_training,
    find_limits,
    limits_of,
    read_competition,
)
from kwsbench.budget.report import Limits
from kwsbench.errors import InputError
from kwsbench.manifest import Budget, Manifest
from tests.conftest import REPOSITORY, TINY_MANIFEST, Tiny

NAMES = tuple(Limits.model_fields)


def _with_budget(tiny: Tiny, **limits: int) -> Manifest:
    return tiny.manifest.model_copy(update={"budget": Budget(**limits)})


def _write(folder: Path, text: str) -> Path:
    path = folder / COMPETITION
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _said(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as raised:
        read_competition(_write(folder, text))
    return str(raised.value)


def test_without_any_source_there_are_no_limits(tmp_path: Path) -> None:
    """No option, manifest or competition gives no limits, and no words."""
    assert find_limits({}, folder=tmp_path) == FoundLimits(Limits(), "")


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_can_be_given_on_the_command_line(name: str, tmp_path: Path) -> None:
    """A limit of the command line is taken as it is, and the words say that it is from there."""
    found = find_limits({name: 7} | {other: None for other in NAMES if other != name}, folder=tmp_path)
    assert found == FoundLimits(Limits(**{name: 7}), f"the command line ({name})")


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_can_stand_in_a_competition(name: str, tmp_path: Path) -> None:
    """A limit in `[limits]` is taken as it is, beside tables that belong to the leaderboard."""
    path = _write(tmp_path, f'title = "x"\ndeadline = 2030-01-01\n[limits]\n{name} = 7\n[page]\nlogo = "y"\n')
    assert read_competition(path).limits == Limits(**{name: 7})


def test_each_limit_comes_from_the_first_source_that_has_it(tiny: Tiny, tmp_path: Path) -> None:
    """The command line beats the manifest, that the competition, that its manifest, that the manifest of training."""
    (tmp_path / "course.toml").write_text(f"{TINY_MANIFEST}\n[budget]\nmax_params = 4\nmax_macs = 4\n")
    path = _write(tmp_path, 'manifest = "../course.toml"\n[limits]\nmax_params = 3\n')
    everything = {"competition": path, "manifest": _with_budget(tiny, max_params=2, max_macs=2)}
    asked = find_limits({"max_params": 1}, **everything)
    assert asked.limits == Limits(max_params=1, max_macs=2)
    assert asked.words == "the command line (max_params); the manifest tiny (max_macs)"
    assert find_limits({}, **everything).limits == Limits(max_params=2, max_macs=2)
    ruled = find_limits({}, competition=path)
    assert ruled.limits == Limits(max_params=3, max_macs=4)
    assert ruled.words == f"{path} (max_params); the manifest tiny, which {path} names (max_macs)"
    assert fill_from_training(ruled, "espeak_12") == ruled


def test_the_manifest_of_training_fills_what_is_left(tiny: Tiny, tmp_path: Path) -> None:
    """What no one else limits is limited by the budget of the manifest that a model was trained on."""
    found = find_limits({}, _with_budget(tiny, max_macs=5), folder=tmp_path)
    filled = fill_from_training(found, "espeak_12")
    assert filled.limits == Limits(max_params=10_000, max_macs=5)
    assert filled.words.endswith("; the manifest espeak_12, which the model was trained on (max_params)")
    alone = fill_from_training(FoundLimits(Limits()), "espeak_12")
    assert alone.words == "the manifest espeak_12, which the model was trained on (max_params, max_macs)"


@pytest.mark.parametrize("name", ["tiny", "no_such", "", "../tiny", "{path}"])
def test_a_model_cannot_name_a_file_as_its_manifest(name: str, tiny: Tiny) -> None:
    """The manifest that a model names is looked up among the shipped ones, and a path is no name."""
    found = FoundLimits(Limits())
    tiny.manifest_path.write_text(f"{TINY_MANIFEST}\n[budget]\nmax_params = 1000000000\n")
    assert fill_from_training(found, name.format(path=tiny.manifest_path)) == found


def test_a_competition_in_the_folder_is_found_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`leaderboard/competition.toml` of the current folder is read without being asked for, and named."""
    _write(tmp_path, "[limits]\nmax_params = 9\n")
    monkeypatch.chdir(tmp_path)
    assert find_limits({}) == FoundLimits(Limits(max_params=9), "leaderboard/competition.toml (max_params)")


def test_a_competition_that_is_asked_for_replaces_the_one_in_the_folder(tmp_path: Path) -> None:
    """With `--competition` the file in the current folder is not read, not even where it is broken."""
    _write(tmp_path, "broken")
    other = tmp_path / "mine.toml"
    other.write_text("[limits]\nmax_params = 8\n")
    assert find_limits({}, competition=other, folder=tmp_path).limits == Limits(max_params=8)


def test_the_shipped_competition_is_that_of_the_homework() -> None:
    """The competition of this repository allows 10,000 parameters and 1,000,000 MACs, on a manifest that agrees."""
    rules = read_competition(REPOSITORY / COMPETITION)
    assert rules.limits == Limits(max_params=10_000, max_macs=1_000_000)
    assert rules.manifest is not None
    assert limits_of(rules.manifest) == rules.limits


def test_all_problems_of_a_competition_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    """Every wrong limit of a file is named with its line, what was found and what it could be."""
    text = "[page]\nx = 1\n[limits]\nmax_param = 10\nmax_macs = 0\nmax_weight_bytes = 1e6\nmax_latency_ms = nan\n"
    said = _said(tmp_path, text)
    assert "competition.toml, line 4: found the unknown limit 'max_param'" in said
    assert "did you mean 'max_params'?" in said
    assert "competition.toml, line 5: found max_macs = 0, expected a whole number from 1" in said
    assert "competition.toml, line 6: found max_weight_bytes = 1000000.0, expected a whole number" in said
    assert "competition.toml, line 7: found max_latency_ms = nan, expected milliseconds" in said


@pytest.mark.parametrize(
    "value", ["0", "-1", "true", '"10000"', "1.5", "inf", "[1]", "10000000000000000", "2030-01-01"]
)
@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_a_limit_is_an_error(name: str, value: str, tmp_path: Path) -> None:
    """Zero, negative, absurd and endless numbers, words, truth values and lists are no limits; only times are broken."""
    if name in {"max_latency_ms", "max_receptive_field_s"} and value == "1.5":
        return
    assert "line 2: found " in _said(tmp_path, f"[limits]\n{name} = {value}\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_params = 10\n", "line 1: found max_params outside of a table, expected it in [limits]"),
        ("[limit]\nmax_params = 10\n", "line 1: found 'limit', expected a table [limits]"),
        ("[Limits]\nmax_params = 10\n", "line 1: found 'Limits', expected a table [limits]"),
        ("limits = 10\n", "line 1: found 10, expected a table [limits]"),
        ("[[limits]]\nmax_params = 10\n", "expected a table [limits]"),
        ("manifest = 3\n", "line 1: found 3, expected the name of a manifest"),
        ("[limits\n", "is not valid TOML"),
        ("[limits]\nmax_params = 1\nmax_params = 2\n", "is not valid TOML"),
        ("x = " + "[" * 5000, "is not valid TOML"),
        ('manifest = "espeak12"\n', "did you mean 'espeak_12'?"),
        ('manifest = "mine/words.toml"\n', "no manifest at"),
    ],
)
def test_a_competition_that_would_limit_nothing_by_mistake_is_an_error(text: str, says: str, tmp_path: Path) -> None:
    """A limit outside of its table, a misspelt table, a broken file and an unknown manifest are told."""
    said = _said(tmp_path, text)
    assert says in said
    assert "competition.toml" in said


@pytest.mark.parametrize(
    "text",
    [
        "limits = {max_params = 0}\n",
        "limits.max_params = 0\n",
        "[limits]\n'max_params' = 0\n",
        'text = """\nmax_params = 1\n"""\n[limits]\nmax_params = 0\n',
    ],
)
def test_a_line_is_only_named_where_it_is_sure(text: str, tmp_path: Path) -> None:
    """However TOML is written, the problem is found, and no wrong line is named."""
    said = _said(tmp_path, text)
    assert "found max_params = 0" in said
    right = next((f"line {number}:" for number, line in enumerate(text.splitlines(), 1) if line.endswith("= 0")), "")
    assert not re.search(r", line \d", said) or right in said


def test_a_competition_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A missing file, a folder and a file in another encoding are named."""
    with pytest.raises(InputError, match=r"cannot read the competition file .*mine\.toml: no such file"):
        find_limits({}, competition=tmp_path / "mine.toml")
    with pytest.raises(InputError, match="is a directory"):
        read_competition(tmp_path)
    path = tmp_path / "utf16.toml"
    path.write_bytes("[limits]".encode("utf-16"))
    with pytest.raises(InputError, match="it is not UTF-8 text"):
        read_competition(path)


def test_wrong_limits_of_the_command_line_are_told_at_once(tmp_path: Path) -> None:
    """Every option with an impossible value is named as it is typed."""
    with pytest.raises(InputError) as raised:
        find_limits({"max_params": 0, "max_weight_bytes": 10**16, "max_latency_ms": float("nan")}, folder=tmp_path)
    for part in ("--max-params: found max_params = 0", "--max-weight-bytes: found", "--max-latency-ms: found"):
        assert part in str(raised.value)


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), st.integers(1, 10**15)), max_size=4))
def test_filling_takes_each_limit_from_its_first_source(sources: list[dict[str, int]]) -> None:
    """However many sources there are, each limit is that of the first one that has it, and is named once in the words."""
    found = FoundLimits(Limits())
    for number, source in enumerate(sources):
        found = found.filled(Limits.model_construct(**{name: source.get(name) for name in NAMES}), f"source {number}")
    for name in NAMES:
        values = [source[name] for source in sources if name in source]
        assert getattr(found.limits, name) == (values[0] if values else None)
        assert re.findall(r"\w+", found.words).count(name) == bool(values)
