"""The site in a real browser, opened from the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kwsbench.leaderboard.site.figures import NOTHING
from tests.leaderboard.site.conftest import Visitor

Visit = Callable[..., Visitor]
NARROW = {"viewport": {"width": 390, "height": 844}}
LIGHT, DARK = {"color_scheme": "light"}, {"color_scheme": "dark"}
LOOKS = (
    ("index.html", LIGHT),
    ("index.html", {**DARK, **NARROW}),
    ("entries/the-quiet-ones/model-3.html", DARK),
    ("entries/blue-owls/model-14.html", {**LIGHT, **NARROW}),
    ("plots.html", DARK),
    ("curves/index.html", LIGHT),
    ("curves/keyword-1.html", {**DARK, **NARROW}),
    ("task.html", {**LIGHT, **NARROW}),
    ("metrics/frr.html", {**LIGHT, **NARROW}),
    ("metrics/index.html", DARK),
    ("changes.html", {**LIGHT, **NARROW}),
    ("rejected.html", DARK),
)


def test_a_click_sorts_and_a_second_one_turns_it_round(visit: Visit) -> None:
    """A click on a head sorts by it with what is best first, a second click turns the order round, and it is said."""
    visitor = visit()
    page = visitor.open()
    head = page.locator("#ranking th[data-name=macs]")
    head.get_by_role("button").click()
    rising = [int(text.replace(",", "")) for text in visitor.column(8) if text != NOTHING]
    assert head.get_attribute("aria-sort") == "ascending"
    assert rising[:-2] == sorted(rising[:-2])  # the last two are not ranked
    head.get_by_role("button").click()
    falling = [int(text.replace(",", "")) for text in visitor.column(8) if text != NOTHING]
    assert head.get_attribute("aria-sort") == "descending"
    assert falling[:-2] == sorted(falling[:-2], reverse=True)
    assert page.locator(".band:visible").count() == 0


def test_entries_without_a_rank_are_last_whatever_is_sorted_by(visit: Visit) -> None:
    """The two entries without a rank come last in every order, both ways round, and keep having none."""
    visitor = visit()
    page = visitor.open()
    for name in ("title", "value", "submitted", "rank"):
        for _ in range(2):
            page.locator(f"#ranking th[data-name={name}] button").click()
            ranks = visitor.column(1)
            assert ranks[-2:] == ["", ""]
            assert "" not in ranks[:-2]


def test_the_keyboard_sorts_and_filters(visit: Visit) -> None:
    """Heads, search and filters are reached with Tab and used with Enter, Space and letters alone."""
    visitor = visit()
    page = visitor.open()
    page.locator("#ranking th[data-name=value] button").focus()
    page.keyboard.press("Enter")
    assert page.locator("th[data-name=value]").get_attribute("aria-sort") == "descending"
    page.locator("[name=q]").focus()
    page.keyboard.type("sparknet")
    assert set(visitor.rows()) == {"SparkNet, 16 channels"}
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator("[name=verified]").is_checked()


def test_search_and_filters_say_how_many_are_left(visit: Visit) -> None:
    """Search and filters leave what fits, say how many those are, and say so where nothing does."""
    visitor = visit()
    page = visitor.open()
    assert page.locator("#count").inner_text() == "21 entries"
    page.locator("label:has([name=verified])").click()
    assert set(visitor.column(6)) == {"verified"}
    assert page.locator("#count").inner_text() == "18 of 21 entries"
    page.locator("label:has([name=baselines])").click()
    assert "baselines" not in visitor.column(3)
    page.locator("[name=team]").select_option("blue-owls")
    assert set(visitor.column(3)) == {"blue-owls"}
    page.locator("[name=q]").fill("nothing like this")
    assert visitor.rows() == []
    assert page.locator("#none").is_visible()


def test_every_view_has_its_own_address(visit: Visit) -> None:
    """The address of a view opens that view for somebody else, and Back leads to the view before."""
    visitor = visit()
    page = visitor.open()
    page.locator("#ranking th[data-name=params] button").click()
    page.locator("label:has([name=budget])").click()
    page.locator(".columns summary").click()
    page.locator(".columns input[value=macro_eer]").uncheck()
    page.locator("[name=q]").fill("res net")
    shown, address = visitor.rows(), page.url
    other = visit()
    other.page.goto(address)
    assert other.rows() == shown
    assert other.page.locator("th[data-name=macro_eer]").is_hidden()
    assert other.page.locator("[name=q]").input_value() == "res net"
    page.go_back()
    page.wait_for_function("!location.hash.includes('columns')")
    assert page.locator("th[data-name=macro_eer]").is_visible()


def test_addresses_that_make_no_sense_show_everything(visit: Visit) -> None:
    """Unknown columns, teams and orders in an address are passed over."""
    visitor = visit()
    visitor.open("index.html#sort=-nonsense&team=nobody&columns=x%20y&%%%=<script>")
    assert len(visitor.rows()) == 21


def test_the_theme_can_be_chosen_and_is_remembered(visit: Visit) -> None:
    """The switch goes from the system's theme to light to dark, and the next page has the same."""
    visitor = visit(color_scheme="light")
    page = visitor.open()
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    for _ in range(2):
        page.locator("button.theme").click()
    dark = page.evaluate(ground)
    assert dark != light
    visitor.open("plots.html")
    assert page.evaluate(ground) == dark
    assert visit(color_scheme="dark").open().evaluate(ground) == dark


def test_everything_can_be_read_without_javascript(visit: Visit) -> None:
    """Without JavaScript the ranking, its bands and links are there, and no control that would do nothing."""
    visitor = visit(java_script_enabled=False)
    page = visitor.open()
    assert len(visitor.rows()) == 21
    assert page.locator(".band").first.is_visible()
    assert page.locator("#view").is_hidden()
    assert page.locator("button").count() == 0
    page.locator("#ranking tbody th a").first.click()
    assert page.locator("h2#scores").is_visible()
    visitor.open("curves/index.html")
    assert page.locator("#lines path").count() == 5


def test_curves_are_drawn_for_chosen_entries_and_kept_in_the_address(visit: Visit) -> None:
    """A tick draws a curve, the choice is in the address, follows to another keyword, and stops at eight."""
    visitor = visit()
    page = visitor.open("curves/index.html")
    boxes = page.locator("#curves input")
    boxes.nth(0).uncheck()
    boxes.nth(7).check()
    assert page.locator("#lines path").count() == 5
    title = page.locator("#curves tbody a").nth(7).inner_text()
    assert title in page.locator("#legend").inner_text()
    page.locator(".tabs a").nth(3).click()
    page.locator("#legend", has_text=title).wait_for()
    for number in (0, 8, 9):
        page.locator("#curves input").nth(number).check()
    assert page.locator("#curves input").nth(12).is_disabled()


@pytest.mark.parametrize(("address", "look"), LOOKS)
def test_no_accessibility_violation_on_any_page(visit: Visit, address: str, look: dict[str, Any]) -> None:
    """Axe finds no violation on a page, everything unfolded, and the page is not wider than the screen."""
    from axe_playwright_python.sync_playwright import Axe

    page = visit(**look).open(address)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    results = Axe().run(page, options={"preload": False})  # it would fetch the style, which the page's policy forbids
    assert [(one["id"], one["nodes"][0]["html"]) for one in results.response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_narrow_screen_shows_cards_that_are_still_a_table(visit: Visit) -> None:
    """On a phone rank, title, figure and interval of an entry are in sight, and a screen reader still hears a table."""
    visitor = visit(**NARROW)
    page = visitor.open()
    first = page.locator("#ranking tbody tr:not(.band)").first
    box = first.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert "table" in page.locator("#ranking").aria_snapshot()
    assert "row" in page.locator("#ranking").aria_snapshot()
    assert first.locator("td").nth(3).is_visible()


def test_printing_leaves_out_the_controls(visit: Visit) -> None:
    """On paper there is the table, without controls, navigation and switches."""
    page = visit().open()
    page.emulate_media(media="print")
    assert page.locator("#ranking").is_visible()
    assert page.locator("#view").is_hidden()
    assert page.locator(".theme").is_hidden()
