"""The pictures of a score: whole, equal for equal input, legible, and true to the figures that they show."""

from __future__ import annotations

import doctest
import hashlib
import io
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import pytest
from matplotlib import colormaps, rc_context, rcParams
from numpy.typing import NDArray
from PIL import Image

import kwsbench.score.plots
from kwsbench.predictions import Predictions, Truth
from kwsbench.score.evaluate import Bootstrap, Score, evaluate
from kwsbench.score.plots import draw_plots, printable, probit, short, within_axis

PICTURES = ("confusion", "per_keyword", "det")
SVG = "{http://www.w3.org/2000/svg}"
PLAIN = ("yes", "нет", "stop", "_unknown_", "_silence_")
ODD = (
    "$cost$ a_b^2",
    "_turn_on_the_lights_in_the_living_room_now",
    "_turn_on_the_lights_in_the_living_room_off",
    r"\alpha_{<b>&amp;}",
    "two\nlines\x01",
    "小爱同学",
    "مرحبا",
    "שלום",
    "🎉",
    "never said",
    "_unknown_",
)


def _score(
    labels: Sequence[str], num_background: int = 1, *, clips: int = 120, with_scores: bool = True, unsaid: str = ""
) -> Score:
    """A plausible score of random predictions; `unsaid` is a keyword that no clip holds."""
    random = np.random.default_rng(7)
    said = [code for code, label in enumerate(labels) if label != unsaid]
    truth = random.choice(said, size=clips).astype(np.int32)
    scores = random.normal(size=(len(labels), clips))
    scores[truth, np.arange(clips)] += 2
    ids = pl.Series([f"{clip}.wav" for clip in range(clips)])
    speakers = pl.Series([f"s{clip % 9}" for clip in range(clips)])
    predictions = Predictions(scores.argmax(axis=0).astype(np.int32), scores if with_scores else None)
    return evaluate(Truth(ids, tuple(labels), len(labels) - num_background, truth, speakers), predictions, Bootstrap(5))


@pytest.fixture(scope="module")
def plain() -> Score:
    """Three keywords, two background labels, with scores."""
    return _score(PLAIN, 2)


@pytest.fixture(scope="module")
def plain_files(plain: Score) -> dict[str, bytes]:
    """Its pictures."""
    return draw_plots(plain, "tc_resnet8 on words_5, test")


@pytest.fixture(scope="module")
def odd_files() -> dict[str, bytes]:
    """Pictures of labels that are hard to draw, one of them never said, under a long title of the same kind."""
    return draw_plots(_score(ODD, unsaid="never said"), "$x^2$ & <title>\n" * 30)


def _parse(svg: bytes) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 (drawn here a moment ago)


def _texts(svg: bytes) -> list[str]:
    return ["".join(element.itertext()) for element in _parse(svg).iter(f"{SVG}text")]


def _pixels(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def test_draws_every_picture_as_svg_and_png(plain_files: dict[str, bytes]) -> None:
    """A score with scores gives three pictures, each in both formats."""
    assert sorted(plain_files) == sorted(f"{name}.{kind}" for name in PICTURES for kind in ("svg", "png"))
    for name, content in plain_files.items():
        if name.endswith(".png"):
            assert content.startswith(b"\x89PNG\r\n\x1a\n")
            assert _pixels(content).std() > 0
        else:
            assert _parse(content).tag == f"{SVG}svg"


def test_draws_no_det_without_scores() -> None:
    """Without scores there is no DET curve, and so no picture of one."""
    files = draw_plots(_score(PLAIN, 2, with_scores=False), "hard decisions")
    assert sorted(files) == ["confusion.png", "confusion.svg", "per_keyword.png", "per_keyword.svg"]


def test_hard_labels_stay_whole_and_well_formed(odd_files: dict[str, bytes]) -> None:
    """Labels of any script, with markup or control characters in them, give SVGs that are XML."""
    for name in PICTURES:
        assert _parse(odd_files[f"{name}.svg"]).tag == f"{SVG}svg"


@pytest.mark.parametrize("name", PICTURES)
def test_names_every_keyword(plain_files: dict[str, bytes], odd_files: dict[str, bytes], name: str) -> None:
    """Every keyword stands in every picture, as text, dollars and underscores included."""
    for files, labels in ((plain_files, PLAIN[:-2]), (odd_files, ODD[:-1])):
        texts = "\n".join(_texts(files[f"{name}.svg"]))
        assert [label for label in labels if short(label) not in texts] == []


def test_names_background_labels_in_the_confusion_matrix(plain_files: dict[str, bytes]) -> None:
    """The confusion matrix names every label twice: as truth and as prediction."""
    texts = _texts(plain_files["confusion.svg"])
    assert {label: texts.count(label) for label in PLAIN} == dict.fromkeys(PLAIN, 2)


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_is_cut_off(plain_files: dict[str, bytes], odd_files: dict[str, bytes], name: str) -> None:
    """A white margin runs around every picture, however long its title and labels are."""
    for files in (plain_files, odd_files):
        pixels = _pixels(files[f"{name}.png"])
        edges = (pixels[:20], pixels[-20:], pixels[:, :20], pixels[:, -20:])
        assert all((edge == 255).all() for edge in edges)


def test_carries_its_title(plain_files: dict[str, bytes]) -> None:
    """Every SVG shows the title, and has it as its accessible name."""
    for name in PICTURES:
        svg = plain_files[f"{name}.svg"]
        assert "tc_resnet8 on words_5, test" in _texts(svg)
        assert _parse(svg).findtext(f"{SVG}title") == f"{name}: tc_resnet8 on words_5, test"


def test_carries_no_stamps(plain_files: dict[str, bytes]) -> None:
    """Neither the date nor the version of the drawing library is in a file."""
    for content in plain_files.values():
        assert not re.search(rb"<dc:date>|<dc:creator>|Matplotlib v|Software", content)


def test_equal_scores_give_equal_bytes_whatever_the_users_style(plain_files: dict[str, bytes]) -> None:
    """A user's own settings change nothing, and are as they were afterwards."""
    own: dict[Any, Any] = {
        "font.size": 31.0,
        "svg.hashsalt": None,
        "svg.fonttype": "path",
        "lines.linewidth": 9.0,
        "axes.grid": True,
    }
    with rc_context(own):
        before = dict(rcParams)
        assert draw_plots(_score(PLAIN, 2), "tc_resnet8 on words_5, test") == plain_files
        assert dict(rcParams) == before


_IN_ANOTHER_PROCESS = """
import hashlib, pickle, sys
from kwsbench.score.plots import draw_plots
files = draw_plots(pickle.load(sys.stdin.buffer), "tc_resnet8 on words_5, test")
print({name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())})
assert "matplotlib.pyplot" not in sys.modules
"""


def test_equal_scores_give_equal_bytes_in_other_processes(plain: Score, plain_files: dict[str, bytes]) -> None:
    """Two processes with other hash seeds, and no pyplot in them, write the same bytes as this one."""
    expected = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(plain_files.items())}
    command = [sys.executable, "-c", _IN_ANOTHER_PROCESS]
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": seed}
        done = subprocess.run(command, input=pickle.dumps(plain), capture_output=True, env=environment, check=True)
        assert done.stdout.decode().strip() == str(expected)


_WITHOUT_MATPLOTLIB = """
import sys
from kwsbench.errors import InputError
from kwsbench.score.plots import draw_plots
assert "matplotlib" not in sys.modules
sys.modules["matplotlib"] = None
try:
    draw_plots(None, "title")
except InputError as error:
    print(error)
"""


def test_says_how_to_install_matplotlib() -> None:
    """Where matplotlib is missing, the error says what to run."""
    done = subprocess.run([sys.executable, "-c", _WITHOUT_MATPLOTLIB], capture_output=True, text=True, check=True)
    assert "pip install 'kwsbench[plots]'" in done.stdout


_WITH_A_WRONG_BACKEND = """
from kwsbench.errors import InputError
from kwsbench.score.plots import draw_plots
try:
    draw_plots(None, "title")
except InputError as error:
    print(error)
"""


def test_says_that_the_backend_is_wrong() -> None:
    """A backend that matplotlib does not know is the user's mistake, and told as one."""
    environment = os.environ | {"MPLBACKEND": "no_such_backend"}
    command = [sys.executable, "-c", _WITH_A_WRONG_BACKEND]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "MPLBACKEND" in done.stdout
    assert "no_such_backend" in done.stdout


def test_undefined_rates_are_said_not_drawn(plain_files: dict[str, bytes], odd_files: dict[str, bytes]) -> None:
    """A keyword that no clip holds has `n/a` for its rate and EER; where all is defined nothing has."""
    assert _texts(odd_files["per_keyword.svg"]).count("n/a") == 1
    assert [text for text in _texts(odd_files["det.svg"]) if "n/a" in text] == [
        "EER \u2007\u2007\u2007\u2007n/a  never said"
    ]
    assert not any("n/a" in text for name in PICTURES for text in _texts(plain_files[f"{name}.svg"]))


def test_a_score_with_nothing_defined_is_drawn() -> None:
    """With background clips alone every FRR and every curve is undefined, and the pictures say so."""
    score = _score(("yes", "_unknown_"), unsaid="yes", clips=5)
    files = draw_plots(score, "background")
    assert "n/a" in _texts(files["per_keyword.svg"])
    assert any("n/a  yes" in text for text in _texts(files["det.svg"]))


def test_bars_and_whiskers_stand_at_the_figures(plain: Score) -> None:
    """Bars are as long as FRR and FAR in percent, and whiskers run from the low to the high end of the interval."""
    with kwsbench.score.plots._style():
        panels = kwsbench.score.plots._keyword_figure(plain, "title").axes
    for panel, metric in zip(panels, ("frr", "far"), strict=True):
        (bars,) = panel.containers[1:]
        expected = np.array([[getattr(row, metric + end) for end in ("", "_low", "_high")] for row in plain.keywords])
        whiskers: Any = bars
        ends = [segment[:, 0] for segment in whiskers.errorbar.lines[2][0].get_segments()]
        np.testing.assert_allclose([bar.get_width() for bar in bars], 100 * expected[:, 0])
        np.testing.assert_allclose(ends, 100 * expected[:, 1:], atol=1e-9)


def test_counts_are_written_and_zeros_are_not(plain: Score) -> None:
    """A cell says how many clips it holds, with separators, in the row of the truth; an empty cell says nothing."""
    counts = np.zeros((5, 5), np.int64)
    counts[0, 1], counts[3, 2], counts[4, 4] = 12345, 7, 89
    with kwsbench.score.plots._style():
        axes = kwsbench.score.plots._confusion_figure(replace(plain, confusion=counts), "title").axes[0]
    found = {text.get_text(): text.get_position() for text in axes.texts[:-2]}
    assert found == {"12,345": (1.5, 0.5), "7": (2.5, 3.5), "89": (4.5, 4.5)}
    assert axes.get_ylim() == (5, 0)


def test_shades_are_shares_of_the_row() -> None:
    """The shade of a cell is its share of the clips of its truth; a truth without clips has none."""
    counts = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 5]])
    shares = kwsbench.score.plots._row_shares(counts)
    assert shares.tolist() == [[0.75, 0.25, 0], [0, 0, 0], [0, 0, 1]]


def _luminance(red: float, green: float, blue: float) -> float:
    """Relative luminance, as the Web Content Accessibility Guidelines 2.2 define it."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_counts_are_legible_on_every_shade() -> None:
    """The contrast of a count with its cell is at least 4.5:1, which WCAG asks of text."""
    for share in np.linspace(0, 1, 201):
        shade = _luminance(*colormaps["Blues"](np.sqrt(share))[:3])
        ink = {"white": 1.0, "black": 0.0}[kwsbench.score.plots._ink_on(share)]
        assert (max(shade, ink) + 0.05) / (min(shade, ink) + 0.05) >= 4.5


@pytest.mark.parametrize(("count", "clips"), [(2, 60), (12, 4890), (36, 11005)])
def test_counts_fit_their_cells(count: int, clips: int) -> None:
    """From 2 to 36 labels counts are at least 6 points high and narrower than their cells."""
    confusion = np.diag(np.full(count, clips))
    cells = kwsbench.score.plots._cells(confusion)
    assert cells.font_pt >= 6
    assert len(f"{clips:,}") * 0.64 * cells.font_pt < 72 * cells.size_in
    assert count * cells.size_in <= 15


def _ticks(svg: bytes, axis: str) -> dict[float, float]:
    """Tick label, in percent, to its place on the page."""
    ticks = {}
    for group in _parse(svg).iter(f"{SVG}g"):
        if group.get("id", "").startswith(f"{axis}tick_"):
            mark = next(use for use in group.iter(f"{SVG}use"))
            ticks[float("".join(next(group.iter(f"{SVG}text")).itertext()))] = float(mark.attrib[axis])
    return ticks


def _page_to_rate(svg: bytes, axis: str) -> tuple[float, float]:
    """Slope and offset of the page over normal quantiles, from the outermost ticks."""
    ticks = _ticks(svg, axis)
    (low, start), (high, end) = min(ticks.items()), max(ticks.items())
    slope = (end - start) / (NormalDist().inv_cdf(high / 100) - NormalDist().inv_cdf(low / 100))
    return slope, start - slope * NormalDist().inv_cdf(low / 100)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_det_axes_are_probit(plain_files: dict[str, bytes], axis: str) -> None:
    """The ticks of both DET axes stand where the quantiles of the normal distribution do, on one scale."""
    svg = plain_files["det.svg"]
    slope, offset = _page_to_rate(svg, axis)
    ticks = _ticks(svg, axis)
    assert {5, 10, 20, 40} <= ticks.keys()
    for percent, place in ticks.items():
        assert place == pytest.approx(slope * NormalDist().inv_cdf(percent / 100) + offset, abs=0.01)
    assert abs(slope) == pytest.approx(abs(_page_to_rate(svg, "x")[0]), rel=1e-4)


def test_det_curves_go_through_their_points(plain: Score, plain_files: dict[str, bytes]) -> None:
    """Every point of a curve that lies inside the axes is a corner of the line that is drawn."""
    svg = plain_files["det.svg"]
    (x_slope, x_offset), (y_slope, y_offset) = _page_to_rate(svg, "x"), _page_to_rate(svg, "y")
    line = next(path for path in _parse(svg).iter(f"{SVG}path") if "stroke: #0072b2" in path.get("style", ""))
    corners = np.array(re.findall(r"[ML] (\S+) (\S+)", line.attrib["d"]), np.float64)
    points = plain.det["yes"]
    inside = (points.far > 0.02) & (points.far < 0.35) & (points.frr > 0.02) & (points.frr < 0.35)
    assert inside.sum() > 5
    for far, frr in zip(points.far[inside], points.frr[inside], strict=True):
        place = (x_slope * NormalDist().inv_cdf(far) + x_offset, y_slope * NormalDist().inv_cdf(frr) + y_offset)
        assert np.hypot(*(corners - place).T).min() < 0.05


def test_det_legend_says_each_eer(plain: Score, plain_files: dict[str, bytes]) -> None:
    """The legend has the EER of each keyword, in percent."""
    texts = _texts(plain_files["det.svg"])
    for row in plain.keywords:
        assert any(text.startswith("EER") and f"{100 * row.eer:.2f} %  {row.keyword}" in text for text in texts)


def test_det_lines_differ_in_colour_or_style() -> None:
    """No two of 36 keywords have a line of the same colour and style."""
    score = _score([f"word{number}" for number in range(36)] + ["_unknown_"], clips=300)
    with kwsbench.score.plots._style():
        axes = kwsbench.score.plots._det_figure(score, "title").axes[0]
    looks = {(line.get_color(), str(vars(line)["_dash_pattern"])) for line in axes.lines[:36]}
    assert len(looks) == 36


def test_probit_is_the_normal_quantile() -> None:
    """The DET axis agrees with the standard library's normal distribution, and is odd around 50 %."""
    rates = np.array([0.0001, 0.01, 0.2, 0.5, 0.9])
    np.testing.assert_allclose(probit(rates), [NormalDist().inv_cdf(rate) for rate in rates], atol=1e-12)
    np.testing.assert_allclose(probit(1 - rates), -probit(rates), atol=1e-12)


@pytest.mark.parametrize(("clips", "floor"), [(0, 0.05), (1, 0.05), (50, 0.01), (5000, 0.0001), (10**6, 0.0001)])
def test_det_axis_ends_at_half_a_clip(clips: int, floor: float) -> None:
    """Rates of 0 and 1 are drawn half a clip inside, no closer than 0.01 % and no further than 5 %."""
    assert within_axis([0, 0.3, 1], clips).tolist() == [floor, 0.3, 1 - floor]


def test_long_labels_that_end_differently_stay_different() -> None:
    """A long label loses its middle, so that two which end differently can be told apart."""
    assert len({short(label) for label in ODD}) == len(ODD)
    assert max(len(short(label)) for label in ODD) <= 24


def test_printable_replaces_what_xml_cannot_hold() -> None:
    """Line breaks become spaces, control characters and non-characters U+FFFD, and all else stays."""
    assert printable("a\tb\nc\x00\x1b\ufffe$é\u200d🎉") == "a b c\ufffd\ufffd\ufffd$é\u200d🎉"


def test_docstring_examples_hold() -> None:
    """The examples in the docstrings are true."""
    assert doctest.testmod(kwsbench.score.plots) == doctest.TestResults(0, 3)
