"""The site as files: whole, equal for equal input, and leading nowhere else."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest

from kwsbench.errors import InputError
from kwsbench.leaderboard.board import Board, Rejected
from kwsbench.leaderboard.site.build import build_site
from kwsbench.leaderboard.site.rendering import design_folder
from kwsbench.submission.record import Verdict
from tests.leaderboard.site.boards import board_of, entry_of, rules_of, score_of
from tests.leaderboard.site.conftest import on_disk
from tests.leaderboard.site.pages import seen_in

ATOM = "{http://www.w3.org/2005/Atom}"
ALLOWED_ELSEWHERE = {"https://arxiv.org/abs/1904.03814"}  # a link in a team's report


def hashes(folder: Path) -> dict[str, str]:
    """Hashes of all files of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_equal_boards_give_equal_bytes(board: Board, site: Path, tmp_path: Path) -> None:
    """A second build has the same files with the same bytes, with a cache that is empty, and with one that is full."""
    for _ in range(2):
        built = build_site(board, tmp_path / "site", cache=tmp_path / "cache")
        assert hashes(tmp_path / "site") == hashes(site)
    assert built.num_reused == len(board.entries)


def test_the_cache_makes_only_what_is_new(board: Board, tmp_path: Path) -> None:
    """A changed verification and a new title are made anew, everything else is taken over, and what is gone is dropped."""
    cache = tmp_path / "cache"
    build_site(board, tmp_path / "site", cache=cache)
    (cache / "notes").mkdir()  # somebody else's
    first, second, *others = board.entries
    changed = replace(first, verification=replace(first.verification, reason="it was looked at again"))
    renamed = replace(second, submission=replace(second.submission, title="Another name"))
    built = build_site(replace(board, entries=(changed, renamed, *others[1:])), tmp_path / "site", cache=cache)
    assert built.num_reused == len(others) - 1
    assert len(list(cache.iterdir())) == len(board.entries) - 1 + 1
    assert (cache / "notes").is_dir()
    page = (tmp_path / "site" / "entries" / f"{first.key}.html").read_text(encoding="utf-8")
    assert "It was looked at again." in page


def test_a_damaged_cache_is_made_anew(board: Board, site: Path, tmp_path: Path) -> None:
    """Where a kept file is gone, cut short or of another form, the site is the same as ever."""
    cache = tmp_path / "cache"
    build_site(board, tmp_path / "site", cache=cache)
    first, second, third = sorted(cache.iterdir())[:3]
    next(first.glob("*.det.csv")).unlink()
    for folder, text in ((second, '{"body": "'), (third, "[]")):
        (folder / "parts.json").unlink()
        (folder / "parts.json").write_text(text, encoding="utf-8")
    built = build_site(board, tmp_path / "site", cache=cache)
    assert built.num_reused == len(board.entries) - 3
    assert hashes(tmp_path / "site") == hashes(site)


def test_every_link_leads_to_a_file_or_a_place_that_is_there(site: Path) -> None:
    """Every address on every page is relative and leads to a file of the site, and to a place on that page."""
    pages = {path: seen_in(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 50
    for path, seen in pages.items():
        for url in set(seen.urls) - ALLOWED_ELSEWHERE:
            file, _, place = url.partition("#")
            target = (path.parent / unquote(file)).resolve() if file else path
            assert target.is_file(), f"{url} on {path}"
            assert target.is_relative_to(site.resolve())
            assert not place or "=" in place or place in pages[target].ids, f"{url} on {path}"


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """No page, style or script names another host, but for links in reports and the names of XML formats."""
    for path in site.rglob("*"):
        if path.suffix in {".html", ".css", ".js", ".svg"}:
            text = path.read_text(encoding="utf-8")
            for harmless in (*ALLOWED_ELSEWHERE, "http://www.w3.org/2000/svg"):
                text = text.replace(harmless, "")
            assert "://" not in text, path
            assert "url(//" not in text


def test_every_page_forbids_inline_code_and_foreign_hosts(site: Path) -> None:
    """Every page has the policy before anything is loaded, and neither script nor style in it."""
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        seen = seen_in(text)
        assert text.index("default-src 'none'") < text.index("<link")
        assert "unsafe" not in text.partition("</head>")[0]
        assert "style" not in seen.tags
        assert "style" not in seen.attributes
        assert not [name for name in seen.attributes if name.startswith("on")]
        assert text.count("<script src=") == seen.tags.count("script")


def test_templates_hold_loops_and_nothing_that_decides() -> None:
    """Templates decide nothing: no condition, no assignment, nothing marked as safe, no escaping switched off."""
    for path in design_folder("templates").rglob("*.*"):
        text = path.read_text(encoding="utf-8")
        for forbidden in ("{% if", "{% set", "{% macro", "safe", "autoescape", " if "):
            assert forbidden not in text.replace("Safe", ""), f"{forbidden} in {path}"


def test_a_build_that_is_killed_leaves_the_old_site(board: Board, tmp_path: Path) -> None:
    """A build that is killed half way leaves the site that was there; the next build cleans up and succeeds."""
    site = tmp_path / "site"
    small = replace(board, entries=board.entries[:2])
    build_site(small, site)
    before = hashes(site)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from kwsbench.leaderboard.site import build\n"
        "from tests.leaderboard.site.boards import board_of, entry_of\n"
        "def others(self): os.kill(os.getpid(), 9)\n"
        "build._Pages.others = others\n"
        "build.build_site(board_of(entry_of(1, 3.0)), Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    killed = subprocess.run([sys.executable, "-c", code, str(site)], check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert hashes(site) == before
    assert len(list(tmp_path.iterdir())) == 2
    build_site(small, site)
    assert hashes(site) == before
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_board_without_entries_is_a_site(tmp_path: Path) -> None:
    """Before the first submission there is a site that says so."""
    empty = replace(board_of(entry_of(1, 3.0)), entries=(), updated=None)
    build_site(empty, tmp_path / "site")
    assert "No entries yet." in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert not (tmp_path / "site" / "curves").exists()
    ET.parse(tmp_path / "site" / "feed.xml")  # noqa: S314 - made here


def test_a_board_of_baselines_alone_counts_no_teams(tmp_path: Path) -> None:
    """Where only the kit's own entries stand, the first page says so and not that there are entries of 0 teams."""
    build_site(board_of(replace(entry_of(1, 3.0), is_baseline=True)), tmp_path / "site")
    words = seen_in((tmp_path / "site" / "index.html").read_text(encoding="utf-8")).words
    assert "1 baseline" in words
    assert "0 teams" not in words


def test_entries_without_scores_models_and_figures_have_pages(tmp_path: Path) -> None:
    """Predictions without scores, and an entry whose model was not read, are shown with what is known."""
    bare = entry_of(1, 3.0, verdict=Verdict.PREDICTIONS_ONLY, score=score_of(3.0, 1, with_scores=False))
    build_site(board_of(bare), tmp_path / "site")
    page = (tmp_path / "site" / "entries" / f"{bare.key}.html").read_text(encoding="utf-8")
    assert "Budget by layer" not in page
    assert "The report cannot be read." in page
    assert not (tmp_path / "site" / "curves").exists()


def test_the_page_of_an_entry_says_all_there_is(board: Board, site: Path) -> None:
    """Scores, confusions, keywords, speakers, layers, checks, hashes, command, report, history and downloads."""
    entry = board.entries[0]
    words = seen_in((site / "entries" / f"{entry.key}.html").read_text(encoding="utf-8")).words
    value = f"{100 * entry.main.value:.2f}"
    expected = [
        value,
        "Confusions",
        "Keywords",
        "Hardest speakers",
        "00a1b2c3",
        "blocks.0.pointwise",
        "with noise at 30 dB",
    ]
    expected += [entry.verification.content_sha256, f"kwsbench submission verify submissions/{entry.key}", "2.13.0"]
    expected += ["Narrow, but deep", "Reproduce", "summary.csv", "entry.json", "Rank 1, band 1."]
    assert [text for text in expected if text not in words] == []
    team, name = entry.key.split("/")
    tables = ["summary.csv", "per_keyword.csv", "confusion.csv", "det.csv", "layers.csv", "entry.json"]
    expected_files = {f"{name}.html", f"{name}/loss.png", *(f"{name}.{table}" for table in tables)}
    folder = site / "entries" / team
    found = {path.relative_to(folder).as_posix() for path in folder.rglob(f"{name}*") if path.is_file()}
    assert found | {f"{name}/{path.name}" for path in (folder / name).iterdir()} == expected_files


def test_rejected_entries_are_listed_with_their_reasons(site: Path) -> None:
    """Each rejected folder is named with every reason, as text, and the first page says that there are some."""
    words = seen_in((site / "rejected.html").read_text(encoding="utf-8")).words
    assert "use one of yes, no" in words
    assert "Éclair/<b>x</b>" in words
    assert "2 folders could not become an entry." in (site / "index.html").read_text(encoding="utf-8")


def test_the_feed_is_atom_with_lasting_names(board: Board, site: Path, tmp_path: Path) -> None:
    """The feed is well-formed, its times are those of the entries, and an entry keeps its name when ranks change."""
    feed = ET.parse(site / "feed.xml").getroot()  # noqa: S314 - made here
    assert feed.findtext(f"{ATOM}updated") == "2026-12-25T22:30:00Z"
    names = {one.findtext(f"{ATOM}title"): one.findtext(f"{ATOM}id") for one in feed.iter(f"{ATOM}entry")}
    assert len(set(names.values())) == len(board.entries)
    later = replace(board, entries=tuple(replace(one, rank=one.rank and one.rank + 7) for one in board.entries[3:]))
    build_site(later, tmp_path / "site")
    others = ET.parse(tmp_path / "site" / "feed.xml").getroot()  # noqa: S314 - made here
    assert {one.findtext(f"{ATOM}id") for one in others.iter(f"{ATOM}entry")} <= set(names.values())
    moments = [one.findtext(f"{ATOM}updated") or "" for one in feed.iter(f"{ATOM}entry")]
    assert moments == sorted(moments, reverse=True)


def test_a_hidden_part_is_said_and_the_key_shown_when_it_is_revealed(tmp_path: Path) -> None:
    """While a part is hidden every reader of the first page is told; the hash of the key stands in the rules."""
    key = "k" * 40
    private = {"share": 0.7, "key_sha256": hashlib.sha256(key.encode()).hexdigest()}
    hiding = replace(board_of(entry_of(1, 3.0)), rules=rules_of(private=private), hidden_clips=1_400)
    build_site(hiding, tmp_path / "site")
    assert "1,400 clips, stay hidden" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert private["key_sha256"] in (tmp_path / "site" / "task.html").read_text(encoding="utf-8")
    shown = replace(hiding, rules=rules_of(private={**private, "key": key}), hidden_clips=0)
    build_site(shown, tmp_path / "site")
    assert "hidden" not in seen_in((tmp_path / "site" / "index.html").read_text(encoding="utf-8")).words
    assert key in (tmp_path / "site" / "task.html").read_text(encoding="utf-8")


def test_lower_is_better_turns_everything_round(tmp_path: Path) -> None:
    """With a metric of errors the page says so, and a click on the figure brings the lowest to the top."""
    entries = tuple(
        replace(one, main=replace(one.main, value=0.1 * rank)) for rank, one in enumerate(board_of().entries[:3], 1)
    )
    build_site(replace(board_of(), entries=entries, rules=rules_of(ranking={"metric": "macro_frr"})), tmp_path / "site")
    assert 'data-name="value" data-kind="number" data-best="low"' in (tmp_path / "site" / "index.html").read_text(
        encoding="utf-8"
    )
    assert "lower is better" in (tmp_path / "site" / "task.html").read_text(encoding="utf-8")


def test_a_thousand_entries_fit_into_a_first_page_of_300_kb() -> None:
    """The first page with 1,000 entries, its style and its scripts have less than 300,000 bytes; also with long titles."""
    one = entry_of(1, 3.0)
    for title in ("Depthwise TENet, distilled", "\N{CYRILLIC CAPITAL LETTER O}" * 60):
        entries = [
            replace(
                one,
                submission=replace(
                    one.submission,
                    team=f"team-{number % 140:03}-x",
                    entry=f"tc-small-{number}",
                    title=title,
                    submitted=one.submission.submitted + timedelta(hours=number),
                ),
                main=replace(one.main, value=one.main.value - number * 1e-5),
            )
            for number in range(1_000)
        ]
        assert first_page_bytes(board_of(*entries)) < 300_000


def first_page_bytes(board: Board) -> int:
    """Bytes of the first page with what it loads, without the other thousand pages."""
    from kwsbench.leaderboard.site import build
    from kwsbench.leaderboard.site.rendering import Templates

    assets = build._assets()
    pages = build._Pages(board, Templates(), {name: path for name, (path, _) in assets.items()})
    files = [pages._first_page(), *assets.values()]
    return sum(len(content) for name, content in files if name.startswith(build._FIRST_PAGE))


def test_names_that_cannot_be_addresses_make_no_page(tmp_path: Path) -> None:
    """A team or entry that is no slug stops the build before anything is written, whoever let it through."""
    entry = entry_of(1, 3.0)
    for bad in ("../up", "a/b", "A", "", "x\0y", "con.html"):
        board = board_of(replace(entry, submission=replace(entry.submission, entry=bad)))
        with pytest.raises(InputError, match="cannot be part of an address"):
            build_site(board, tmp_path / "site")
    assert list(tmp_path.iterdir()) == []


def test_a_changed_report_is_not_shown(tmp_path: Path) -> None:
    """A report that is no longer the one that was handed in is not shown, and the page says why."""
    entry = on_disk(entry_of(1, 3.0), tmp_path / "submissions")
    entry.submission.report.write_text("# I was here later", encoding="utf-8")
    build_site(board_of(entry, rejected=(Rejected("x", ("y",)),)), tmp_path / "site")
    page = (tmp_path / "site" / "entries" / f"{entry.key}.html").read_text(encoding="utf-8")
    assert "I was here later" not in page
    assert "it was changed later" in page
