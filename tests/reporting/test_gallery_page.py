"""The gallery in a browser: what is shown, filters, order, keys, and that nothing is loaded or complained about."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from galleries import HEADLINE, tile

from maskcls.reporting.gallery import GalleryWriter, Headline, Tile

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed; on Debian: apt install chromium"),
]

HOSTILE = "</script><img src=x onerror=alert(1)>마스크\u202e.jpg"
Page = Any  # a page of playwright, which not everybody has installed


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """A function that opens a gallery of some tiles. The browser must not complain, nor ask for anything else."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def open_page(tiles: list[Tile], width: int = 1200, headline: Headline = HEADLINE) -> Page:
        with GalleryWriter(tmp_path / "gallery.html", headline) as gallery:
            for one in tiles:
                gallery.add(one)
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "gallery.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [(tmp_path / "gallery.html").as_uri()]


def names(page: Page) -> list[str]:
    """The file names of the tiles that exist, in their order."""
    found: list[str] = page.locator("#grid .caption > [dir=auto]:nth-last-child(2)").all_text_contents()
    return found


def some() -> list[Tile]:
    return [
        tile(path="photos/10.jpg", label="A", certainty=0.99),
        tile(path="photos/9.jpg", label="B", certainty=0.6, face=2),
        tile(path="other/1.jpg", label="A", certainty=0.8, note="the end is missing"),
        tile(path="other/empty.jpg", label=None),
    ]


def test_the_least_certain_stand_first_and_other_orders_can_be_chosen(opened: Any) -> None:
    page = opened(some())
    assert names(page) == ["9.jpg", "1.jpg", "10.jpg", "empty.jpg"]
    orders = {
        "certain": ["10.jpg", "1.jpg", "9.jpg", "empty.jpg"],
        "1": ["9.jpg", "1.jpg", "10.jpg", "empty.jpg"],
        "path": ["1.jpg", "empty.jpg", "9.jpg", "10.jpg"],
        "source": ["10.jpg", "9.jpg", "1.jpg", "empty.jpg"],
    }
    for order, expected in orders.items():
        page.select_option("[name=order]", order)
        assert names(page) == expected, order


def test_filters_leave_what_matches_and_reset_brings_all_back(opened: Any) -> None:
    page = opened(some())
    page.uncheck("[name=label][value='0']")
    assert names(page) == ["9.jpg", "empty.jpg"]
    page.uncheck("[name=label][value='']")
    assert names(page) == ["9.jpg"]
    assert page.text_content("#result") == "1 of 4 shown"
    page.click("#reset")
    sync_api.expect(page.locator("#result")).to_have_text("4 of 4 shown")
    page.fill("[name=text]", "OTHER/")
    assert names(page) == ["1.jpg", "empty.jpg"]
    page.fill("[name=text]", "")
    page.select_option("[name=note]", "with")
    assert names(page) == ["1.jpg"]
    page.select_option("[name=note]", "")
    page.fill("[name=low]", "60")
    page.fill("[name=high]", "80")
    assert names(page) == ["9.jpg", "1.jpg"]  # both ends belong to the range
    page.select_option("[name=of]", "1")
    assert names(page) == ["9.jpg"]
    page.fill("[name=low]", "90")
    assert names(page) == []
    assert page.is_visible("#nothing")


def test_keys_move_open_turn_over_and_close(opened: Any) -> None:
    page = opened(some())
    page.focus("#grid .tile")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.text_content("#name") == "1.jpg"
    facts = page.text_content("#large dl")
    assert "other/1.jpg" in facts
    assert "the end is missing" in facts
    assert page.locator("#bars .chosen").inner_text().split("\n") == ["●", "A", "80.0 %"]
    page.keyboard.press("ArrowRight")
    assert page.text_content("#name") == "10.jpg"
    page.keyboard.press("Escape")
    assert not page.is_visible("#large")
    assert page.evaluate("document.activeElement.title") == "photos/10.jpg"
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.title") == "photos/9.jpg"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.title") == "other/empty.jpg"


def test_heat_maps_stand_beside_the_pictures_and_can_be_hidden(opened: Any) -> None:
    page = opened([tile(explained=np.zeros((32, 32, 3), dtype=np.uint8)), tile(path="b.jpg")])
    assert page.locator("#grid img").count() == 3
    page.uncheck("[name=explained]")
    assert page.locator("#grid img").count() == 2
    page.locator("#grid .tile").first.click()
    assert page.locator("#large img").count() == 2


def test_names_are_text(opened: Any) -> None:
    page = opened(
        [tile(path=HOSTILE, note=HOSTILE, label=HOSTILE)], headline=Headline(HOSTILE, HOSTILE, (HOSTILE, "B"))
    )
    assert page.text_content("h1 bdi") == HOSTILE
    assert page.text_content("#grid .answer bdi") == HOSTILE
    assert page.get_attribute("#grid .tile", "title") == HOSTILE
    page.locator("#grid .tile").click()
    assert HOSTILE in page.text_content("#large dl")
    assert page.locator("img").count() == 2  # the picture, small and large


@pytest.mark.parametrize("width", [360, 1200, 2400])
def test_nothing_is_wider_than_the_screen_and_class_names_are_whole(width: int, opened: Any) -> None:
    headline = Headline("c" * 300, "s" * 300, ("WithMask", "WithoutMask"))
    tiles = [tile(path=f"{'x' * 200}/{i}.jpg", label="WithoutMask", note="n" * 300) for i in range(9)]
    page = opened(tiles, width, headline)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    name = page.locator("#grid .answer bdi").first
    assert name.evaluate("element => element.scrollWidth <= element.clientWidth")
    page.locator("#grid .tile").first.click()
    assert page.evaluate("document.querySelector('#large').scrollWidth") <= width


def test_five_thousand_pictures_open_at_once_and_only_those_in_view_are_decoded(opened: Any) -> None:
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 256, (28, 28, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    tiles = [tile(path=f"photos/{i}.jpg", certainty=0.5 + i / 10_000, picture=picture) for i in range(5000)]
    page = opened(tiles)
    assert page.text_content("#result") == "5,000 of 5,000 shown"
    assert page.locator("#grid img").count() < 100
    assert page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") < 10_000
    page.focus("#grid .tile")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.title") == "photos/4999.jpg"
    assert page.locator("#grid img").count() < 100
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    sync_api.expect(page.locator("#grid .tile").nth(10)).to_have_attribute(
        "title", re.compile(r"photos/2[3-6]\d\d.jpg")
    )
