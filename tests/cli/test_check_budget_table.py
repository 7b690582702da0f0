"""What `check-budget` asks, shows and exits with, on reports made by hand: the counting itself is tested elsewhere."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from typer.testing import CliRunner, Result

from kwsbench.budget.limits import FoundLimits
from kwsbench.budget.report import Count, Finding, Layer, Limits, Report, Verdict
from kwsbench.cli.app import app
from kwsbench.dataset.places import Places
from tests.budget import networks as nets
from tests.budget.onnx.models import exported
from tests.conftest import TINY_MANIFEST, Tiny, write_tiny_audio
from tests.sandboxed import needs_sandbox

ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-9]|4[0-9]|9[0-9]|10[0-9])(?:;[0-9]+)*m")
DESIGN = ["model", "format", "params", "macs", "weight_bytes", "thop", "audit", "front_end", "limits"]
DESIGN += ["within_budget", "findings", "layers"]


def _layer(name: str, kind: str, params: int, macs: int, thop: tuple[int, int] | None = None) -> Layer:
    counted = {} if thop is None else {"thop_params": thop[0], "thop_macs": thop[1]}
    return Layer(name=name, kind=kind, params=params, macs=macs, weight_bytes=4 * params, **counted)


OVER = Report(
    model="model.pt",
    sha256="0" * 64,
    format="kwsbench",
    params=12_805,
    macs=1_182_992,
    weight_bytes=51_220,
    thop=Count(params=3_205, macs=82_992),
    audit=Count(params=12_805, macs=1_182_992),
    front_end=Count(params=790, macs=470_000),
    limits=Limits(max_params=10_000, max_macs=1_000_000, max_latency_ms=2),
    limits_from="the command line (max_params, max_macs, max_latency_ms)",
    within_budget=False,
    verdict=Verdict.OVER,
    macs_by_width={"8x8": 1_000_000, "32x32": 182_992},
    peak_activation_bytes=50_000,
    receptive_field_frames=31,
    receptive_field_s=0.325,
    latency_ms=0.3123,
    input_shape=(1, 64, 101),
    input_seconds=1.0,
    findings=(Finding(message="batch norm folds"), Finding(message="aten::magic has no formula", blocks=True)),
    layers=(
        _layer("stem", "convolution", 2_000, 1_000_000, (2_000, 80_000)),
        _layer("body", "convolution", 800, 150_000),
        _layer("head", "addmm", 10_005, 10_000, (10_005, 0)),
        _layer("last", "mm", 0, 22_992),
    ),
)
WITHIN = OVER.model_copy(
    update={
        "params": 3_205,
        "macs": 82_992,
        "audit": Count(params=3_205, macs=82_992),
        "within_budget": True,
        "verdict": Verdict.WITHIN,
        "macs_by_width": {"32x32": 82_992},
        "findings": (),
    }
)
WEIGHTS_ONLY = WITHIN.model_copy(
    update={
        "format": "state_dict",
        "macs": None,
        "thop": None,
        "audit": None,
        "front_end": None,
        "within_budget": False,
        "verdict": Verdict.CANNOT_CERTIFY,
        "latency_ms": None,
        "peak_activation_bytes": None,
        "receptive_field_frames": None,
        "layers": (),
    }
)
TREES = WEIGHTS_ONLY.model_copy(
    update={
        "format": "lightgbm",
        "within_budget": True,
        "verdict": Verdict.WITHIN,
        "tree_nodes": 30,
        "tree_leaves": 31,
        "comparisons_per_clip": 5,
        "limits": Limits(max_params=10_000, max_macs=1_000_000),
    }
)
FREE = WITHIN.model_copy(
    update={"limits": Limits(), "limits_from": "", "within_budget": None, "verdict": Verdict.NO_LIMITS}
)


@dataclass
class Checked:
    """A run of the command, and what it asked for."""

    result: Result
    questions: list[SimpleNamespace]

    @property
    def out(self) -> str:
        """What it printed on stdout."""
        return self.result.stdout

    @property
    def lines(self) -> dict[str, str]:
        """The lines of the first table by what they begin with."""
        return {re.split(r"  +", line)[0]: line for line in self.out.splitlines()}


Check = Callable[..., Checked]


def write_onnx(path: Path, network: nn.Module) -> None:
    """Writes a network for input (1, 8, 20) as ONNX."""
    path.write_bytes(exported(network, torch.zeros(1, 8, 20)))


def write_script(path: Path, network: nn.Module) -> None:
    """Writes a network as TorchScript."""
    nets.as_script(network).save(str(path))


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Runs `check-budget model.pt` in an empty folder, with a check that gives the report it is told to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KWSBENCH_DATA", raising=False)
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def run(report: Report, *words: str | Path, **env: str) -> Checked:
        questions: list[SimpleNamespace] = []

        def answer(path: Path, question: SimpleNamespace) -> Report:
            assert path == Path("model.pt")
            questions.append(question)
            return report

        stand_in = ModuleType("kwsbench.budget.check")
        vars(stand_in).update(Question=SimpleNamespace, check_budget=answer)
        monkeypatch.setitem(sys.modules, "kwsbench.budget.check", stand_in)
        result = CliRunner().invoke(app, ["check-budget", "model.pt", *map(str, words)], env=env)
        return Checked(result, questions)

    return run


@pytest.fixture
def words(tmp_path: Path) -> Tiny:
    """A tiny data set with a budget, which is not prepared yet."""
    write_tiny_audio(tmp_path / "audio")
    manifest = tmp_path / "tiny.toml"
    manifest.write_text(f"{TINY_MANIFEST}\n[budget]\nmax_params = 3\n", encoding="utf-8")
    return Tiny(tmp_path / "audio", manifest, Places(tmp_path / "data"))


@pytest.mark.parametrize(
    ("report", "code", "says"),
    [
        (WITHIN, 0, "WITHIN BUDGET"),
        (OVER, 1, "OVER BUDGET"),
        (WEIGHTS_ONLY, 1, "CANNOT CERTIFY"),
        (FREE, 0, "NO LIMITS"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("as_json", [False, True], ids=["table", "json"])
def test_the_exit_code_is_that_of_the_verdict(
    report: Report,
    code: int,
    says: str,
    as_json: bool,  # noqa: FBT001
    check: Check,
) -> None:
    """Within and without limits exit with 0, over and not certified with 1, and stderr stays empty."""
    ran = check(report, *(["--json"] if as_json else []))
    assert ran.result.exit_code == code
    assert ran.result.stderr == ""
    assert says in ran.out.splitlines() or as_json or report is FREE


def test_the_table_shows_both_counts_the_limit_and_what_is_left(check: Check) -> None:
    """Each figure stands beside its limit, with both counts where there are two, the larger one and the headroom."""
    lines = check(OVER).lines
    assert lines["parameters"].split()[1:5] == ["3,205", "12,805", "12,805", "10,000"]
    assert lines["parameters"].endswith("over by 28.1 %")
    assert lines["MACs per second"].split()[3:7] == ["82,992", "1,182,992", "1,182,992", "1,000,000"]
    assert lines["weight bytes"].split()[2:] == ["51,220"]
    assert lines["peak activation bytes"].split()[3:] == ["50,000"]
    assert re.fullmatch(r"latency in ms +0\.312 +2\.000 +1\.688 \(84\.4 %\) *", lines["latency in ms"])


def test_the_facts_beside_the_limits_have_a_line_each(check: Check) -> None:
    """Input, front-end, receptive field and MACs by width are shown, the last only where not all is 32 bits wide."""
    out = check(OVER).out
    assert out.startswith("model.pt (kwsbench), on input (1, 64, 101), 1 s of audio\n")
    assert "Front-end, not counted above: 790 stored numbers, 470,000 MACs per second\n" in out
    assert "Receptive field: 31 frames, 0.325 s\n" in out
    assert "MACs by width in bits, weight first: 8x8 1,000,000, 32x32 182,992\n" in out
    assert "MACs by width" not in check(WITHIN).out


def test_what_is_not_known_or_does_not_apply_is_said(check: Check) -> None:
    """MACs of weights alone are not known, those of trees do not apply, and neither is ever shown as 0."""
    weights, trees = check(WEIGHTS_ONLY), check(TREES)
    assert re.fullmatch(r"MACs per second +- +- +not known +1,000,000 +\? *", weights.lines["MACs per second"])
    assert "the number of MACs per second is not known" in weights.out
    assert re.fullmatch(r"MACs per second +- +- +n/a +1,000,000 *", trees.lines["MACs per second"])
    assert "Trees: 30 inner nodes, 31 leaves, at most 5 comparisons per clip\n" in trees.out
    assert "peak activation bytes" not in trees.lines


def test_the_verdict_is_followed_by_its_reasons(check: Check) -> None:
    """Verdict, reasons, where the limits are from, what is left, then the findings, those that block first."""
    lines = check(OVER).out.splitlines()
    begin = lines.index("OVER BUDGET")
    assert lines[begin + 1].startswith("12,805 parameters, 2,805 (28.1 %) over 10,000; 1,182,992 MACs per second")
    assert lines[begin + 2 : begin + 6] == [
        "Limits from the command line (max_params, max_macs, max_latency_ms).",
        "You may add 1.688 ms for one input.",
        "Blocks: aten::magic has no formula",
        "Note: batch norm folds",
    ]


def test_the_most_expensive_layers_and_hints_end_the_report(check: Check) -> None:
    """Three layers by MACs beside three by parameters, then what to shrink, each with figures."""
    out = check(OVER).out
    assert re.search(r"^stem convolution +1,000,000 +84\.5 % +head addmm +10,005 +78\.1 %", out, re.MULTILINE)
    assert re.search(r"^last mm +22,992 +1\.9 % +body convolution +800 +6\.2 %", out, re.MULTILINE)
    assert "Hint: the first convolution, stem, costs 84.5 % of the MACs" in out
    assert "Hint:" not in check(WITHIN).out


def test_layers_are_shown_when_asked_for(check: Check) -> None:
    """`--layers` lists every layer in its order with both counts; a dash stands where thop has no such module."""
    lines = check(OVER, "--layers").out.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("layer "))
    assert [line.split() for line in lines[begin + 1 :]] == [
        ["stem", "convolution", "2,000", "2,000", "1,000,000", "80,000", "8,000"],
        ["body", "convolution", "800", "-", "150,000", "-", "3,200"],
        ["head", "addmm", "10,005", "10,005", "10,000", "0", "40,020"],
        ["last", "mm", "0", "-", "22,992", "-", "0"],
    ]
    assert not [line for line in check(OVER).out.splitlines() if line.startswith("layer ")]


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 200])
def test_no_figure_is_cut_at_any_width(width: int, check: Check) -> None:
    """A terminal too narrow for a table gets lines: every figure is there in one piece, and tables fit the width."""
    text = _plain(check(OVER, "--layers", FORCE_COLOR="1", COLUMNS=str(width)).out)
    assert "…" not in text
    figures = {f"{value:,}" for layer in OVER.layers for value in (layer.params, layer.macs, layer.weight_bytes)}
    for figure in figures | {"12,805", "1,182,992", "10,000", "0.312", "50,000"}:
        assert re.search(rf"(?<![\d,.]){re.escape(figure)}(?![\d])", text), figure
    sentences = ("model.pt", "Front", "Recep", "MACs by", "12,805 p", "Limits", "You", "Blocks", "Note", "Hint")
    tables = [line for line in text.splitlines() if not line.startswith(sentences)]
    assert max(map(len, tables)) <= width


def test_a_wide_terminal_has_tables_and_a_narrow_one_lines(check: Check) -> None:
    """From 80 columns on the figures are a table, below that each row is a line."""
    wide, narrow = (check(OVER, FORCE_COLOR="1", COLUMNS=width) for width in ("80", "50"))
    assert re.search("^ +thop +audit +counted +limit +headroom", _plain(wide.out), re.MULTILINE)
    assert "parameters, thop 3,205, audit 12,805, counted" in _plain(narrow.out)


def test_colours_are_for_terminals_that_want_them(check: Check) -> None:
    """A terminal shows the verdict in colour, NO_COLOR takes the colours away, and a pipe gets no escape code."""
    assert COLOUR.search(check(OVER, FORCE_COLOR="1", COLUMNS="100", TERM="xterm-256color").out)
    plain = check(OVER, FORCE_COLOR="1", NO_COLOR="1", COLUMNS="100", TERM="xterm-256color").out
    assert not COLOUR.search(plain)
    assert ESCAPE not in check(OVER).out
    assert [line.rstrip() for line in _plain(plain).splitlines()] == [
        line.rstrip() for line in check(OVER).out.splitlines()
    ]


def test_a_model_cannot_steer_the_terminal(check: Check) -> None:
    """Control characters in names and findings are shown as question marks, and markup as it is."""
    evil = "\x1b[2J[bold]evil\x07"
    report = OVER.model_copy(
        update={
            "model": evil,
            "format": evil,
            "limits_from": evil,
            "findings": (Finding(message=f"{evil}\nOVER", blocks=True),),
            "layers": (_layer(evil, evil, 1, 1_000), _layer("x" * 500, "addmm", 20_000, 10)),
        }
    )
    out = check(report, "--layers").out
    assert ESCAPE not in out
    assert "\x07" not in out
    assert out.count("?[2J[bold]evil?") >= 7
    assert "evil??OVER" in out
    assert max(map(len, out.splitlines())) < 700


@pytest.mark.parametrize(
    "write", [write_onnx, pytest.param(write_script, marks=needs_sandbox)], ids=["onnx", "torchscript"]
)
@pytest.mark.parametrize("is_separable", [False, True], ids=["ordinary", "separable"])
def test_a_real_convolution_over_its_limit_is_to_become_separable(
    write: Callable[[Path, nn.Module], None],
    is_separable: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    """A convolution of 3 x 8 x 16 weights on 18 positions is advised with its figures, its separable form is not."""
    separable = nn.Sequential(nn.Conv1d(8, 8, 3, groups=8, bias=False), nn.Conv1d(8, 16, 1, bias=False))
    torch.manual_seed(0)
    write(tmp_path / "model", separable if is_separable else nn.Sequential(nn.Conv1d(8, 16, 3, bias=False)))
    words = ["check-budget", str(tmp_path / "model"), "--input-shape", "1,8,20", "--max-macs", "100"]
    said = CliRunner().invoke(app, words).stdout
    assert "OVER BUDGET" in said
    advice = "as a depthwise separable convolution costs about 2,736 MACs and 152 parameters instead of 6,912 and 384"
    assert (advice in said, "depthwise" in said) == (not is_separable, not is_separable)
    layers = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["layers"]
    shape = {"out_channels": 16, "in_channels": 8, "kernel": 3, "groups": 1}
    assert (shape in [layer["convolution"] for layer in layers]) == (not is_separable)


@pytest.mark.parametrize("width", ["\x1b[2J", "8", "x8", "8x", "8x8x8", "8x8\n"])
def test_a_width_is_two_numbers_of_bits(width: str) -> None:
    """A report of anything else, which a program of strangers may send, does not come into being."""
    with pytest.raises(ValidationError):
        Report.model_validate(OVER.model_dump() | {"macs_by_width": {width: 1}})


def test_json_is_the_report_in_a_stable_order(check: Check) -> None:
    """`--json` prints all of the report, the keys that scripts rely on first, and equal reports as equal bytes."""
    first, again = check(OVER, "--json", "--layers").out, check(OVER, "--json").out
    assert first == again
    record = json.loads(first)
    assert list(record)[: len(DESIGN)] == DESIGN
    assert record == OVER.model_dump(mode="json")
    assert list(record["limits"])[:2] == ["max_params", "max_macs"]
    assert record["verdict"] == "over budget"


def test_the_options_become_the_question(check: Check, tmp_path: Path) -> None:
    """Shape, seconds, architecture and baselines are asked as they were given; without a manifest nothing is assumed."""
    words = ["--input-shape", "1, 64,101", "--input-seconds", "1.5", "--arch", "net.py:Net", "--baselines", tmp_path]
    (question,) = check(WITHIN, *words, "--max-params", "7", "--max-latency-ms", "0.5").questions
    assert vars(question) == {
        "arch": "net.py:Net",
        "input_shape": (1, 64, 101),
        "input_seconds": 1.5,
        "limits": FoundLimits(
            Limits(max_params=7, max_latency_ms=0.5), "the command line (max_params, max_latency_ms)"
        ),
        "front_end": None,
        "sample_rate_hz": None,
        "clip_samples": None,
        "clips": [],
        "baselines": tmp_path,
    }


def test_a_competition_in_the_folder_is_part_of_the_question(check: Check, tmp_path: Path) -> None:
    """Rules in the current folder count without being asked for, and the question says that they do."""
    (tmp_path / "leaderboard").mkdir()
    (tmp_path / "leaderboard/competition.toml").write_text("[limits]\nmax_params = 5\n")
    (question,) = check(WITHIN).questions
    assert question.limits == FoundLimits(Limits(max_params=5), "leaderboard/competition.toml (max_params)")
    (tmp_path / "mine.toml").write_text("[limits]\nmax_params = 6\n")
    assert check(WITHIN, "--competition", "mine.toml").questions[0].limits.limits == Limits(max_params=6)


def test_a_manifest_brings_limits_and_front_end(check: Check) -> None:
    """A manifest whose data are not prepared brings its budget, its front-end and its audio, and a note on stderr."""
    ran = check(WITHIN, "--manifest", "espeak_12")
    (question,) = ran.questions
    assert question.limits.limits == Limits(max_params=10_000, max_macs=1_000_000)
    assert question.limits.words == "the manifest espeak_12 (max_params, max_macs)"
    assert (question.front_end.num_mels, question.sample_rate_hz, question.clip_samples) == (40, 16_000, 16_000)
    assert len(question.clips) == 0
    assert ran.result.stderr.startswith("No real clips among the probes: espeak_12 is not prepared in data")


def test_a_prepared_manifest_brings_real_clips(check: Check, words: Tiny) -> None:
    """Of a prepared data set the first clip of each of up to four labels is read, the same ones every time."""
    labels = words.prepare().manifest.labels
    given = ("--manifest", "tiny", "--data", words.places.root)
    first, again = (check(WITHIN, *given).questions[0] for _ in range(2))
    assert first.limits.limits == Limits(max_params=3)
    assert len(first.clips) == len(labels) == 4
    assert all(clip.shape == (1_600,) and clip.any() for clip in first.clips)
    assert all((one == other).all() for one, other in zip(first.clips, again.clips, strict=True))
    assert not (first.clips[0] == first.clips[1]).all()


def test_a_data_set_that_is_asked_for_and_not_there_is_an_error(check: Check, words: Tiny) -> None:
    """With `--data` the clips are wanted: a folder without them, and damaged audio, is said and not passed over."""
    ran = check(WITHIN, "--manifest", "espeak_12", "--data", "nowhere")
    assert ran.result.exit_code == 2
    assert "Error: espeak_12 is not prepared in nowhere" in ran.result.stderr
    for path in words.prepare().audio_root.rglob("*.wav"):
        path.unlink()
    ran = check(WITHIN, "--manifest", "tiny", "--data", words.places.root)
    assert ran.result.exit_code == 2
    assert "cannot be read" in ran.result.stderr


@pytest.mark.parametrize("by_name", [True, False], ids=["by name", "by path"])
def test_damaged_clips_do_not_keep_a_model_from_its_check(check: Check, words: Tiny, by_name: bool) -> None:  # noqa: FBT001
    """Where nobody asked for clips in particular, those that cannot be read are said and left out."""
    for path in words.prepare().audio_root.rglob("*.wav"):
        path.unlink()
    ran = check(WITHIN, "--manifest", "tiny" if by_name else words.manifest_path)
    assert ran.result.exit_code == 0
    assert ran.result.stderr.startswith("No real clips among the probes: 4 clips cannot be read")
    assert ran.questions[0].limits.limits == Limits(max_params=3)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--input-shape", "64,101"], "a batch of 64, expected 1; did you mean 1,64,101 or 1,101?"),
        (["--input-shape", "8,64,101"], "expected 1; did you mean 1,8,64,101 or 1,64,101?"),
        (["--input-shape", "1x64x101"], "'1x64x101' is not numbers with commas, such as 1,64,101"),
        (["--input-shape", ""], "'' is not numbers with commas"),
        (["--input-shape", "1,64,"], "'1,64,' is not numbers with commas"),
        (["--input-shape", "1,0,101"], "1,0,101 has a dimension below 1"),
        (["--input-shape", "1,-64,101"], "1,-64,101 has a dimension below 1"),
        (["--input-shape", "1"], "is a batch alone"),
        (["--input-shape", "1,1000000,1000000"], "has 1,000,000,000,000 numbers, expected at most"),
        (["--input-shape", "1," + "9" * 5_000], "is not numbers with commas"),
        (["--input-seconds", "0"], "--input-seconds 0: expected 0.001 to 600"),
        (["--input-seconds", "nan"], "--input-seconds nan"),
        (["--input-seconds", "inf"], "--input-seconds inf"),
        (["--max-params", "0"], "--max-params: found max_params = 0, expected a whole number from 1"),
        (["--max-macs", "1e6"], "Invalid value for '--max-macs'"),
        (["--max-latency-ms", "-1"], "--max-latency-ms: found max_latency_ms = -1.0"),
        (["--manifest", "espeak12"], "did you mean 'espeak_12'?"),
        (["--competition", "none.toml"], "cannot read the competition file none.toml"),
        (["--data", "data"], "--data goes with --manifest"),
    ],
    ids=lambda value: "_".join(value)[:30] if isinstance(value, list) else "",
)
def test_a_wrong_option_is_one_error(words: list[str], says: str, check: Check) -> None:
    """What cannot be a shape, a time, a limit or a file is said once, with exit code 2, before a model is looked at."""
    ran = check(WITHIN, *words)
    assert ran.result.exit_code == 2
    assert ran.questions == []
    assert ran.out == ""
    assert says in ran.result.stderr
    assert len(ran.result.stderr) < 1_000


def _modules_after(arguments: list[str]) -> Any:
    import subprocess

    code = f"import sys\nsys.argv = {arguments!r}\nfrom kwsbench.cli import main\ntry:\n    main()\nexcept SystemExit:\n    print(*sys.modules)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_help_loads_no_heavy_library() -> None:
    """`check-budget --help` loads neither torch nor numpy, polars, onnx or LightGBM."""
    loaded = {name.partition(".")[0] for name in _modules_after(["kwsbench", "check-budget", "--help"])}
    assert not loaded & {"torch", "thop", "numpy", "polars", "scipy", "onnx", "onnxruntime", "lightgbm"}
