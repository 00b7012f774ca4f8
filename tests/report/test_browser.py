"""The page in a real browser, as a phone and as a desk show it."""

import pytest

from tests.browsing import browser, opened

SIZES = {"phone": (390, 844), "desk": (1280, 900)}


@pytest.fixture(scope="module")
def running():
    with browser() as started:
        yield started


def visible(page):
    """Claims that are shown, folded or not."""
    return page.locator("#claims tbody tr:not([hidden])").count()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_opens_whole_and_asks_for_nothing(running, page, size, scheme, tmp_path):
    shown, heard = opened(running, page, *SIZES[size], scheme)
    assert shown.locator("#strip .count").all_inner_texts() == ["1", "1", "1", "1", "1", "1", "3"]
    for tile in shown.locator("#strip li").all():
        assert tile.is_visible()
    shown.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true })")
    wide, room = shown.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= room
    picture = tmp_path / f"{size}-{scheme}.png"
    shown.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 50_000
    assert heard.errors == []
    assert heard.requests == [page.as_uri()]


@pytest.mark.slow
def test_claims_are_filtered_by_click(running, page):
    shown, heard = opened(running, page)
    assert visible(shown) == 9
    shown.click("#strip button[data-verdict='not-run']")
    assert visible(shown) == 3
    assert shown.inner_text("#shown") == "3 of 9 claims"
    # What is left is unfolded, groups without any are gone.
    assert shown.locator("#claims tbody tr:visible").count() == 3
    assert shown.locator("#claims details.claim-group:visible").count() == 2
    shown.click("#strip button[data-verdict='reproduced']")
    assert visible(shown) == 4
    shown.select_option("#by-rung", "paper")
    assert visible(shown) == 2
    shown.select_option("#by-table", "data_mixture")
    assert visible(shown) == 1
    shown.click("#filter button[type=reset]")
    shown.wait_for_function("document.getElementById('shown').value === '9 claims'")
    assert visible(shown) == 9
    assert shown.locator("[aria-pressed=true]").count() == 0
    assert heard.errors == []


@pytest.mark.slow
def test_claims_are_filtered_by_keyboard(running, page):
    shown, _ = opened(running, page)
    places = []
    for _ in range(40):
        shown.keyboard.press("Tab")
        places.append(shown.evaluate("document.activeElement.dataset.verdict ?? document.activeElement.id"))
        if places[-1] == "contradicted":
            break
    assert places[-3:] == ["reproduced", "consistent", "contradicted"]
    shown.keyboard.press("Space")
    assert visible(shown) == 1
    shown.keyboard.press("Enter")
    assert visible(shown) == 9


@pytest.mark.slow
def test_details_open_and_links_lead_into_them(running, page):
    shown, _ = opened(running, page)
    first = shown.locator("details.group").first
    cell = first.locator("details.cell").first
    assert not cell.is_visible()
    first.locator("summary").first.focus()
    shown.keyboard.press("Enter")
    assert cell.is_visible()
    cell.locator("summary").first.click()
    assert cell.locator(".drawing").first.is_visible()
    first.locator("summary").first.click()
    shown.locator("#claims details.basis summary").first.click()
    link = shown.locator("#claims details.basis a").first
    target = shown.locator(link.get_attribute("href"))
    link.click()
    shown.wait_for_function("document.querySelector(location.hash).open")
    assert target.is_visible()


@pytest.mark.slow
def test_without_scripts_everything_can_be_read(running, page):
    shown, _ = opened(running, page, java_script_enabled=False)
    assert visible(shown) == 9
    assert not shown.locator("#filter").is_visible()
    assert shown.locator("#strip button").count() == 0
    assert shown.locator("#strip li").count() == 7
    # Folded claims unfold without scripts as well.
    group = shown.locator("#claims details.claim-group.v-underpowered")
    assert not group.locator("tbody tr").is_visible()
    group.locator("summary").first.click()
    assert group.locator("tbody tr").is_visible()


@pytest.mark.slow
def test_on_paper_nothing_is_cut_off(running, page):
    shown, _ = opened(running, page, 794, 1123)
    shown.emulate_media(media="print")
    assert not shown.locator("nav").is_visible()
    # Of claims that were not run the heading is enough on paper.
    printed = [table for table in shown.locator("table").all() if table.is_visible()]
    assert len(printed) > len(shown.locator("#tables table").all()) + 4
    for table in printed:
        box = table.bounding_box()
        assert box["x"] + box["width"] <= 794 + 1


@pytest.mark.slow
def test_findings_come_before_everything_else_on_a_phone(running, page):
    shown, _ = opened(running, page, *SIZES["phone"])
    first = shown.locator(".findings .said").first.bounding_box()
    assert first["y"] + first["height"] < SIZES["phone"][1]
    assert shown.locator("#provenance").bounding_box()["y"] > shown.locator("#verdicts").bounding_box()["y"]


@pytest.mark.slow
def test_the_first_column_of_a_wide_table_stays_in_sight(running, page):
    shown, _ = opened(running, page, *SIZES["phone"])
    scroll = shown.locator("#tables .scroll").first
    wide, room = scroll.evaluate("(box) => [box.scrollWidth, box.clientWidth]")
    assert wide > room
    name = scroll.locator("tbody th").first
    before = name.bounding_box()["x"]
    scroll.evaluate("(box) => { box.scrollLeft = 200 }")
    assert name.bounding_box()["x"] == before
