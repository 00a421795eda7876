"""The page in a real browser: what a visitor drops, records, plays, corrects and saves."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import soundfile

from spectro.core.runs import Run
from tests.conftest import RATE, texture
from tests.reports.test_browser import CHROMIUM, QUIET
from tests.serving.server_process import ServerProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="THE PAGE IS UNTESTED IN A BROWSER: no playwright")
pytest.importorskip("uvicorn", reason="THE SERVER IS UNTESTED: no uvicorn")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"THE PAGE IS UNTESTED IN A BROWSER: there is no {CHROMIUM}"),
]
MICROPHONE = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
TOKEN = "correct-horse-battery"
LIGHT = """() => {
    const plot = document.querySelector(".plot canvas");
    const copy = new OffscreenCanvas(plot.width, plot.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(plot, 0, 0);
    const { data } = copy.getImageData(0, 0, plot.width, plot.height);
    return data.reduce((sum, value, at) => sum + (at % 4 === 3 ? 0 : value), 0) / data.length;
}"""
"""Mean brightness of the spectrogram."""
Visit = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET + MICROPHONE)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server(runs: Mapping[str, Run], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("served")
    started = ServerProcess([runs["both"].path, runs["cnn5"].path], folder, SPECTRO_TOKEN=TOKEN)
    yield started
    assert started.stop() == 0


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sounds")
    paths = [folder / "<b>one.wav", folder / "two.flac"]
    for number, path in enumerate(paths):
        soundfile.write(path, texture("hiss", number, 5, seconds=4.0), RATE)
    return paths


@pytest.fixture
def visit(browser: Browser, server: ServerProcess) -> Iterator[Visit]:
    """Open the page and sign in; in the end there must be no console error and no request to anywhere else."""
    messages: list[str] = []
    requests: list[str] = []
    contexts: list[BrowserContext] = []

    def go(width: int = 1280, height: int = 800, *, sign_in: bool = True, **settings: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        contexts.append(context)
        context.set_default_timeout(60_000)
        tab = context.new_page()
        tab.on("console", lambda message: messages.append(message.text))
        tab.on("pageerror", lambda error: messages.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(server.address)
        if sign_in:
            tab.get_by_role("textbox", name="Token").fill(TOKEN)
            tab.get_by_role("button", name="Continue").click()
            tab.locator("#limits").filter(has_text="MB").wait_for()
        return tab

    yield go
    for context in contexts:
        context.close()
    own = [text for text in messages if not re.search("401|net::ERR_FAILED", text)]  # a browser reports those itself
    assert own == []
    assert [url for url in requests if not url.startswith((server.address, "blob:"))] == []


def drop(tab: Page, sounds: list[Path]) -> None:
    """Give files to the page and wait for their answers."""
    tab.set_input_files("#files", sounds)
    tab.get_by_text(f"{len(sounds)} of {len(sounds)} classified").wait_for()


def saved(tab: Page, button: str) -> bytes:
    """Press a button that saves a file; return its content."""
    with tab.expect_download() as download:
        tab.locator(button).click()
    return Path(download.value.path()).read_bytes()


def test_two_files_are_classified_played_and_saved(visit: Visit, sounds: list[Path], runs: Mapping[str, Run]) -> None:
    tab = visit()
    drop(tab, sounds)
    assert tab.locator("#table tbody tr").count() == 2
    assert tab.locator("#table b").count() == 0  # a name is no markup
    article = tab.locator("#answer")
    assert article.locator(".file-name").inner_text() == "<b>one.wav"
    assert article.locator(".class").count() == 4
    assert article.locator(".members tr").count() == 2
    assert article.locator(".band").count() == 3
    assert article.locator(".band").first.locator(".piece").count() == 4
    article.locator(".tile-state").wait_for(state="hidden")
    assert tab.evaluate(LIGHT) > 10
    article.locator(".band").first.locator(".piece").nth(2).click()
    article.get_by_role("button", name="Pause").wait_for()
    article.locator(".time").filter(has_text="0:03 / 0:04").wait_for()
    names = [path.name for path in sounds]
    command = [sys.executable, "-m", "spectro", "predict", str(runs["both"].path), *names, "--out", "-"]
    printed = subprocess.run(command, cwd=sounds[0].parent, check=True, stdout=subprocess.PIPE).stdout
    assert saved(tab, "[data-save='result.csv']") == printed
    assert saved(tab, "[data-save='selections.txt']").count(b"\n") == 1 + 8


def test_what_decided_is_shown_on_demand(visit: Visit, sounds: list[Path]) -> None:
    tab = visit()
    drop(tab, sounds[1:])
    article = tab.locator("#answer")
    article.locator(".tile-state").wait_for(state="hidden")
    before = tab.evaluate(LIGHT)
    article.get_by_role("button", name="What decided?").click()
    article.get_by_text("Bright: where cnn5 finds").wait_for()
    assert tab.evaluate(LIGHT) < before
    article.get_by_label("Model to look into").select_option("crnn")
    article.get_by_text("Bright: where crnn finds").wait_for()
    article.locator(".band").first.locator(".piece").nth(2).click()
    article.get_by_text("from 0:02 to 0:03").wait_for()
    article.get_by_role("button", name="What decided?").click()
    assert tab.evaluate(LIGHT) == pytest.approx(before, rel=0.01)


def test_keys_walk_correct_and_zoom(visit: Visit, sounds: list[Path]) -> None:
    tab = visit()
    drop(tab, sounds)
    article = tab.locator("#answer")
    tab.keyboard.press("ArrowDown")
    article.locator(".file-name").filter(has_text="two.flac").wait_for()
    second = article.locator(".class-name").nth(1).inner_text()
    tab.keyboard.press("2")
    article.get_by_text(f"Corrected to {second}.").wait_for()
    tab.keyboard.press("ArrowUp")
    article.locator(".file-name").filter(has_text="one.wav").wait_for()
    first = article.locator(".class-name").first.inner_text()
    tab.keyboard.press("1")
    article.get_by_text("Confirmed.").wait_for()
    tab.keyboard.press("+")
    assert article.locator(".piece").first.evaluate("piece => parseFloat(piece.style.width)") == pytest.approx(50)
    rows = list(csv.DictReader(io.StringIO(saved(tab, "#save-corrections").decode())))
    assert rows == [{"path": "<b>one.wav", "label": first}, {"path": "two.flac", "label": second}]
    tab.locator("[data-sort=name]").click()
    tab.locator("[data-sort=name]").click()
    assert tab.locator("#table tbody th").first.inner_text() == "two.flac"
    assert tab.locator("th[aria-sort=descending]").count() == 1


def test_a_recording_is_classified(visit: Visit) -> None:
    tab = visit()
    tab.get_by_role("button", name="Record").click()
    tab.locator("#recording").filter(has_text="recording 0:02").wait_for()
    tab.get_by_role("button", name="Stop").click()
    tab.get_by_text("1 of 1 classified").wait_for()
    assert tab.locator(".answer-head .soft").inner_text().startswith("0:02")


def test_what_cannot_be_classified_shows_why(visit: Visit, sounds: list[Path], tmp_path: Path) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("no sound\n" * 100)
    tab = visit()
    tab.set_input_files("#files", [text, sounds[1]])
    tab.get_by_text("1 of 2 classified, 1 without an answer").wait_for()
    article = tab.locator("#answer")
    assert "notes.wav cannot be decoded" in article.inner_text()
    assert "notes.wav cannot be decoded" in tab.locator("#table").inner_text()
    article.get_by_role("button", name="Try again").wait_for()
    tab.get_by_role("button", name="Remove notes.wav").click()
    article.locator(".file-name").filter(has_text="two.flac").wait_for()


def test_the_sheet_says_how_far_to_trust_it(visit: Visit) -> None:
    tab = visit()
    tab.get_by_role("button", name="How much to trust this").click()
    sheet = tab.get_by_role("dialog", name="How much to trust this")
    sheet.locator(".per-class tbody tr").nth(3).wait_for()
    tab.keyboard.press("Escape")
    sheet.wait_for(state="hidden")


def test_a_wrong_token_is_refused(visit: Visit) -> None:
    tab = visit(sign_in=False)
    tab.get_by_role("textbox", name="Token").fill("wrong")
    tab.get_by_role("button", name="Continue").click()
    tab.get_by_text("That is not the token.").wait_for()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (320, "light"), (768, "light")])
def test_nothing_scrolls_sideways_at_any_width(
    visit: Visit, sounds: list[Path], tmp_path: Path, width: int, scheme: str
) -> None:
    tab = visit(width, 844, color_scheme=scheme)
    drop(tab, sounds)
    text = tmp_path / "notes.wav"
    text.write_text("no sound\n" * 100)
    tab.set_input_files("#files", text)
    tab.get_by_text("2 of 3 classified, 1 without an answer").wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator(".scroll").evaluate("list => list.scrollWidth <= list.clientWidth")


def test_without_its_server_the_page_says_so(visit: Visit, sounds: list[Path]) -> None:
    tab = visit()
    tab.route("**/v1/**", lambda route: route.abort())
    tab.set_input_files("#files", sounds)
    tab.locator("#banner").filter(has_text="does not answer").wait_for()
    tab.locator("#table .error").nth(1).wait_for()
    tab.unroute("**/v1/**")
    tab.locator("#banner").wait_for(state="hidden")
    tab.get_by_role("button", name="Try again").click()
    tab.get_by_text("1 of 2 classified").wait_for()
