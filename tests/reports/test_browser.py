"""The report in a real browser: what a reader clicks, plays and sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
QUIET += ["--disable-component-update", "--autoplay-policy=no-user-gesture-required", "--mute-audio"]
PLAY = """audio => new Promise((resolve, reject) => {
            audio.muted = true;
            audio.onerror = () => reject(audio.error.message);
            audio.ontimeupdate = () => audio.currentTime > 0.1 && resolve(audio.duration);
            audio.play().catch(reject);
          })"""
"""Resolves with the length in seconds once the sound plays."""

Visit = Callable[..., "Page"]

sync_api = pytest.importorskip("playwright.sync_api", reason="THE REPORT IS UNTESTED IN A BROWSER: no playwright")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"THE REPORT IS UNTESTED IN A BROWSER: there is no {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser, page: Path) -> Iterator[Visit]:
    """Open the report; in the end there must be no console error and no request beyond the file."""
    messages: list[str] = []
    requests: list[str] = []
    contexts: list[BrowserContext] = []

    def go(width: int = 1280, height: int = 900, **settings: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        contexts.append(context)
        context.set_default_timeout(120_000)  # a busy machine is no fault of the page
        tab = context.new_page()
        tab.on("console", lambda message: messages.append(message.text))
        tab.on("pageerror", lambda error: messages.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(page.as_uri())
        return tab

    yield go
    for context in contexts:
        context.close()
    assert messages == []
    assert [url for url in requests if not url.startswith(("data:", page.as_uri()))] == []


def test_choosing_a_cell_shows_the_clips_behind_it(visit: Visit) -> None:
    tab = visit()
    matrix = tab.locator(".matrix").first
    cell = matrix.locator("button[data-true=hiss][data-predicted=hum]")
    behind = tab.locator(f"#{cell.get_attribute('aria-controls')}")
    assert cell.get_attribute("aria-expanded") == "true"  # the most frequent confusion is open from the start
    matrix.locator("td.right button").first.click()
    assert cell.get_attribute("aria-expanded") == "false"
    assert not behind.is_visible()
    cell.click()
    assert behind.is_visible()
    assert behind.locator("li").count() == 2
    assert behind.locator("img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 44


def test_the_keyboard_alone_is_enough(visit: Visit) -> None:
    tab = visit()
    tab.locator(".matrix").first.locator("button").first.focus()
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowRight")
    focused = tab.evaluate_handle("document.activeElement")
    assert focused.evaluate("button => button.tagName") == "BUTTON"
    tab.keyboard.press("Enter")
    assert focused.evaluate("button => button.getAttribute('aria-expanded')") == "true"


def test_the_sound_of_a_confused_segment_plays(visit: Visit) -> None:
    tab = visit()
    audio = tab.locator(".cell:not([hidden]) audio").first
    assert audio.evaluate(PLAY) == pytest.approx(1.0, abs=0.1)


def test_one_switch_shows_all_grad_cam_overlays(visit: Visit) -> None:
    tab = visit()
    section = tab.locator("section[aria-labelledby=notable]")
    layer = section.locator(".overlay").first
    assert not layer.is_visible()
    section.locator(".cam").focus()
    tab.keyboard.press("Space")
    assert layer.is_visible()
    assert layer.evaluate("image => image.decode().then(() => image.naturalWidth)") > 1
    assert layer.evaluate(
        """image => {
             const [layer, picture] = [image, image.previousElementSibling].map((one) => one.getBoundingClientRect());
             return ["left", "top", "width", "height"].every((side) => layer[side] === picture[side]);
           }"""
    )
    confused = tab.locator("section[aria-labelledby=confusions] .cam:visible")
    assert confused.is_checked()
    confused.uncheck()
    assert not section.locator(".cam").is_checked()
    assert not layer.is_visible()


def test_playing_a_sound_stops_the_one_before(visit: Visit) -> None:
    tab = visit()
    sounds = tab.locator("[data-list=lowest-margin] audio")
    assert sounds.first.evaluate(PLAY) == pytest.approx(1.0, abs=0.1)
    sounds.nth(1).evaluate(PLAY)
    assert sounds.first.evaluate("audio => audio.paused")


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (320, "light"), (768, "light")])
def test_nothing_scrolls_sideways_at_any_width(visit: Visit, width: int, scheme: str) -> None:
    tab = visit(width, 844, color_scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_is_dark_and_text_stands_out_in_both(visit: Visit) -> None:
    for scheme in ("light", "dark"):
        tab = visit(color_scheme=scheme)
        lightness = "rgb => rgb.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765"
        paper, ink = tab.evaluate(
            f"(() => {{ const f = {lightness}, s = getComputedStyle(document.body);"
            "return [f(s.backgroundColor), f(s.color)]; })()"
        )
        assert (paper > 0.9 and ink < 0.2) if scheme == "light" else (paper < 0.15 and ink > 0.8)


def test_it_prints(visit: Visit, tmp_path: Path) -> None:
    tab = visit()
    assert tab.pdf(path=tmp_path / "report.pdf").startswith(b"%PDF")
    tab.emulate_media(media="print")
    assert not tab.locator("audio").first.is_visible()


def test_without_scripts_everything_is_still_there(visit: Visit) -> None:
    tab = visit(java_script_enabled=False)
    assert tab.locator(".cell").first.is_visible()
