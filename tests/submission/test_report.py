"""Reports: the template is no report, and pictures are those of the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from kwsbench.submission.report import SECTIONS, report_problems, report_template
from tests.submission.conftest import fill_in

PNG = b"\x89PNG\r\n\x1a\n and more"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A report in which every question is answered."""
    path = tmp_path / "report.md"
    path.write_text(report_template("Small <b>*", ["a fact"]), encoding="utf-8")
    fill_in(path)
    return path


def _told(report: Path, *files: str) -> str:
    return "\n".join(map(str, report_problems(report, files)))


def _add(report: Path, text: str) -> None:
    report.write_text(report.read_text(encoding="utf-8") + f"\n{text}\n", encoding="utf-8")


def test_an_answered_report_has_no_problem(report: Path) -> None:
    """With something below each heading, a report is one."""
    assert _told(report) == ""


def test_the_template_alone_is_no_report(tmp_path: Path) -> None:
    """Every section whose question stands there without an answer is named."""
    path = tmp_path / "report.md"
    path.write_text(report_template("Small", ["a fact"]), encoding="utf-8")
    problems = report_problems(path, [])
    assert [problem.where.rpartition("section ")[2] for problem in problems] == list(SECTIONS)
    assert all("the question of the template" in problem.found and problem.remedy for problem in problems)


def test_a_title_is_text_in_the_report() -> None:
    """Markup in a title shows as itself in the heading."""
    assert "# Small \\<b\\>\\*\n" in report_template("Small <b>*", [])


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_that_is_gone_or_empty_is_named(name: str, report: Path) -> None:
    """Without its heading, or with nothing below it, a section is a problem of its own."""
    text = report.read_text(encoding="utf-8")
    heading = f"## {name}\n\nWe did what the course says.\n"
    assert heading in text
    report.write_text(text.replace(heading, f"## {name}\n\n \n"), encoding="utf-8")
    assert (
        _told(report)
        == f"{report}, section {name}: found nothing, expected your own text; write it, if only a sentence"
    )
    report.write_text(text.replace(f"## {name}", "## Other"), encoding="utf-8")
    assert f"section {name}: found no such section" in _told(report)


def test_headings_may_be_written_otherwise(report: Path) -> None:
    """Case, order, spaces and sections of one's own do not matter; a heading in a code block is none."""
    text = report.read_text(encoding="utf-8").replace("## Idea", "##   IDEA  ")
    report.write_text("## More\n\nours\n\n" + text, encoding="utf-8")
    assert _told(report) == ""
    report.write_text(text.replace("##   IDEA  ", "```\n## Idea\n```\n"), encoding="utf-8")
    assert "section Idea: found no such section" in _told(report)


@pytest.mark.parametrize(
    "target",
    ["https://x.org/a.png", "http://x.org/a.png", "//x.org/a.png", "data:image/png;base64,AAAA", "HTTPS://x/a.png"],
)
def test_pictures_from_elsewhere_are_problems(target: str, report: Path) -> None:
    """A picture that is loaded from another place, or lies in the text itself, is named with its line."""
    _add(report, f"![x]({target})")
    assert "from elsewhere, expected pictures of this folder" in _told(report)
    assert ", line " in _told(report)


@pytest.mark.parametrize(
    "target", ["../a.png", "/etc/a.png", "pictures/../../a.png", "a.svg", "pictures/%2e%2e/a.png", "deep/a.png"]
)
def test_pictures_outside_of_the_folder_are_problems(target: str, report: Path) -> None:
    """A path that leads elsewhere, or a picture that can hold a script, is none of a report's."""
    _add(report, f"![x]({target})")
    assert "expected a png, jpg or webp in the folder of the entry" in _told(report, "a.png")


def test_pictures_of_the_folder_are_fine_when_they_are_there(report: Path) -> None:
    """A local picture passes if its file is there and is one, by whatever way Markdown names it."""
    (report.parent / "pictures").mkdir()
    (report.parent / "pictures" / "a.png").write_bytes(PNG)
    _add(report, "![x](./pictures/a.png 'title') [![x][ref]](https://x.org)\n\n[ref]: pictures/a.png")
    assert _told(report, "pictures/a.png") == ""
    assert _told(report).count("which is not there") == 2


def test_a_picture_in_a_code_block_is_text(report: Path) -> None:
    """What Markdown does not show as a picture is not one."""
    _add(report, "`![x](https://x.org/a.png)`\n\n    ![x](https://x.org/a.png)\n")
    assert _told(report) == ""


@pytest.mark.parametrize("content", [b"<svg onload=alert(1)>", b"<html>", b"", b"\xff\xd8\xff jpeg", b"RIFF....WEBP"])
def test_a_file_in_disguise_is_no_picture(content: bytes, report: Path) -> None:
    """A file that is called a picture and begins otherwise is named."""
    (report.parent / "a.png").write_bytes(content)
    assert "a.png: found something else, expected a picture of the kind .png" in _told(report, "a.png")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"# x\0"])
def test_a_report_that_is_no_text_is_one_problem(content: bytes, report: Path) -> None:
    """Bytes that are no UTF-8 text are told once, and nothing else is looked at."""
    report.write_bytes(content)
    assert len(report_problems(report, [])) == 1


@pytest.mark.parametrize(
    "piece", ["[", "![", "](", "> ", "*", "`", "<", "[a](", "- ", "## a\n", "|a|\n|-|\n"], ids=repr
)
def test_a_hostile_report_is_read_to_its_end(piece: str, report: Path) -> None:
    """As much as a report may hold of what Markdown nests is a report without sections, and no error."""
    report.write_text(piece * (60_000 // len(piece)), encoding="utf-8")
    assert len(report_problems(report, [])) >= len(SECTIONS)
