"""The report in a real browser: what a reader clicks, hears and sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reports.test_html import CHROMIUM, QUIET, page

__all__ = ["page"]
sync_api = pytest.importorskip("playwright.sync_api", reason="THE REPORT IS UNTESTED IN A BROWSER: no playwright")
pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"THE REPORT IS UNTESTED IN A BROWSER: there is no {CHROMIUM}"
)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, page):
    """Open the report; in the end there must be no console error and no request beyond the file."""
    said, asked, contexts = [], [], []

    def go(width: int = 1280, height: int = 900, **how):
        context = browser.new_context(viewport={"width": width, "height": height}, **how)
        contexts.append(context)
        context.set_default_timeout(120_000)  # a busy machine is no fault of the page
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.as_uri())
        return tab

    yield go
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", page.as_uri()))] == []


def test_choosing_a_cell_shows_the_clips_behind_it(visit):
    tab = visit()
    cell = tab.locator(".matrix").first.locator("button[aria-label*='hiss clips called hum']")
    assert cell.get_attribute("aria-expanded") == "true"  # the most frequent confusion is open from the start
    right = tab.locator(".matrix").first.locator("td.right button").first
    right.click()
    assert cell.get_attribute("aria-expanded") == "false"
    assert not tab.locator("#" + cell.get_attribute("aria-controls")).is_visible()
    cell.click()
    shown = tab.locator("#" + cell.get_attribute("aria-controls"))
    assert shown.is_visible()
    assert shown.locator("li").count() == 2
    assert shown.locator("img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 44


def test_the_keyboard_alone_is_enough(visit):
    tab = visit()
    buttons = tab.locator(".matrix").first.locator("button")
    buttons.first.focus()
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowRight")
    focused = tab.evaluate_handle("document.activeElement")
    assert focused.evaluate("button => button.tagName") == "BUTTON"
    tab.keyboard.press("Enter")
    assert focused.evaluate("button => button.getAttribute('aria-expanded')") == "true"


def test_a_confused_segment_can_be_heard(visit):
    tab = visit()
    audio = tab.locator(".cell:not([hidden]) audio").first
    heard = audio.evaluate(
        """audio => new Promise((resolve, reject) => {
             audio.muted = true;
             audio.onerror = () => reject(audio.error.message);
             audio.ontimeupdate = () => audio.currentTime > 0.2 && resolve([audio.currentTime, audio.duration]);
             audio.play().catch(reject);
           })"""
    )
    assert heard[0] > 0.2
    assert heard[1] == pytest.approx(1.0, abs=0.1)


def test_what_the_network_heeded_is_switched_on_by_keyboard_and_everywhere_at_once(visit):
    tab = visit()
    section = tab.locator("section[aria-labelledby=extremes]")
    layer = section.locator(".overlay").first
    assert not layer.is_visible()
    section.locator(".heed").focus()
    tab.keyboard.press("Space")
    assert layer.is_visible()
    assert layer.evaluate("image => image.decode().then(() => image.naturalWidth)") > 1
    assert layer.evaluate(
        """image => {
             const [layer, picture] = [image, image.previousElementSibling].map((one) => one.getBoundingClientRect());
             return ["left", "top", "width", "height"].every((side) => layer[side] === picture[side]);
           }"""
    )
    confused = tab.locator("section[aria-labelledby=confusions] .heed:visible")
    assert confused.is_checked()
    confused.uncheck()
    assert not section.locator(".heed").is_checked()
    assert not layer.is_visible()


def test_a_doubtful_clip_can_be_heard_and_silences_the_one_before(visit):
    tab = visit()
    clips = tab.locator("section[aria-labelledby=extremes] .cell").nth(1).locator("audio")
    play = """audio => new Promise((resolve, reject) => {
                audio.muted = true;
                audio.onerror = () => reject(audio.error.message);
                audio.ontimeupdate = () => audio.currentTime > 0.1 && resolve(audio.duration);
                audio.play().catch(reject);
              })"""
    assert clips.first.evaluate(play) == pytest.approx(1.0, abs=0.1)
    clips.nth(1).evaluate(play)
    assert clips.first.evaluate("audio => audio.paused")


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (320, "light"), (768, "light")])
def test_nothing_scrolls_sideways_at_any_width(visit, width, scheme):
    tab = visit(width, 844, color_scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_is_dark_and_text_stands_out_in_both(visit):
    for scheme in ("light", "dark"):
        tab = visit(color_scheme=scheme)
        lightness = "rgb => rgb.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765"
        paper, ink = tab.evaluate(
            f"(() => {{ const f = {lightness}, s = getComputedStyle(document.body);"
            "return [f(s.backgroundColor), f(s.color)]; })()"
        )
        assert (paper > 0.9 and ink < 0.2) if scheme == "light" else (paper < 0.15 and ink > 0.8)


def test_it_prints(visit, tmp_path: Path):
    tab = visit()
    printed = tab.pdf(path=tmp_path / "report.pdf")
    assert printed.startswith(b"%PDF")
    tab.emulate_media(media="print")
    assert not tab.locator("audio").first.is_visible()


def test_without_scripts_everything_is_still_there(visit):
    tab = visit(java_script_enabled=False)
    assert tab.locator(".cell").first.is_visible()
