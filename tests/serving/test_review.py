"""The review: a process of its own, asked as a browser asks it, and the page in a browser with keys."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import soundfile

import spectro
from spectro.core.errors import DataError
from spectro.core.files import read_csv
from spectro.core.runs import Run
from spectro.serving.review.labels import Labels, class_name
from tests.conftest import RATE, texture
from tests.reports.test_browser import CHROMIUM, QUIET

pytest.importorskip("uvicorn", reason="THE REVIEW IS UNTESTED: no uvicorn")
WAIT = 60.0


class ReviewProcess:
    """`spectro review` on a free port."""

    def __init__(self, run: Path, sounds: Path, out: Path, *options: str) -> None:
        words = ["review", str(run), str(sounds), "--out", str(out), "--port", "0", "--device", "cpu", *options]
        self.process = subprocess.Popen([sys.executable, "-m", "spectro", *words], stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        lines = []
        while "reviewing at" not in (line := self.process.stderr.readline()):
            lines.append(line)
            assert line, lines
        self.line, self.port = line, int(line.rpartition(":")[2])

    def ask(self, method: str, path: str, values: Any = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        body = None if values is None else json.dumps(values)
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        is_json = "json" in (response.getheader("content-type") or "")
        return response.status, json.loads(content) if is_json else content

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(WAIT)
        assert self.process.stderr
        self.process.stderr.close()
        return code


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review") / "field"
    folder.mkdir()
    for number, label in enumerate(("hiss", "hum", "pulse", "chirp", "hum", "hiss")):
        suffix = ("wav", "flac", "aiff")[number % 3]
        soundfile.write(folder / f"{number}<b>.{suffix}", texture(label, number, 9), RATE)
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture
def review(runs: Mapping[str, Run], sounds: Path, tmp_path: Path) -> Iterator[ReviewProcess]:
    started = ReviewProcess(runs["both"].path, sounds, tmp_path / "labels.csv", "--order", "disagreement")
    yield started
    assert started.stop() == 0


@pytest.mark.slow
def test_labels_are_given_undone_and_kept(
    review: ReviewProcess, runs: Mapping[str, Run], sounds: Path, tmp_path: Path
) -> None:
    """What a page does; then the table is rendered, and a second review goes on with it."""
    table = tmp_path / "labels.csv"
    status, state = review.ask("GET", "/v1/review")
    assert status == 200
    assert len(state["items"]) == 6
    assert len(state["failed"]) == 1
    assert state["classes"] == ["chirp", "hiss", "hum", "pulse", "other"]
    for place, label in enumerate(("hum", "siren", "other", "hiss")):
        status, changed = review.ask("POST", "/v1/labels", {"item": place, "label": label})
        assert (status, changed["item"]["label"], changed["undoable"]) == (200, label, place + 1)
        assert len(read_csv(table, ("path", "label", "predicted"))) == place + 1
    assert "siren" in changed["classes"]
    status, changed = review.ask("POST", "/v1/undo", {})
    assert (status, changed["item"]["id"], changed["item"]["label"]) == (200, 3, None)
    assert {row["label"] for row in read_csv(table, ("path",))} == {"hum", "siren", "other"}
    for item in state["items"]:
        status, job = review.ask("GET", f"/v1/jobs/{item['id']}")
        assert status == 200
        assert len(job["spectrogram"]["starts"]) == 3
        assert review.ask("GET", f"/v1/jobs/{item['id']}/segments/0.png")[1].startswith(b"\x89PNG")
        assert review.ask("GET", f"/v1/jobs/{item['id']}/audio")[1][:4] in (b"RIFF", b"fLaC")
    data = spectro.render(table, out=tmp_path / "data", layout="csv", workers=1).data
    assert sorted(data and {clip.label for clip in spectro.DataFolder.open(data).clips}) == ["hum", "other", "siren"]
    status, _ = review.ask("POST", "/v1/undo", {"more": 1})
    assert status == 200
    assert [review.ask("POST", "/v1/undo", {})[0] for _ in range(3)] == [200, 200, 409]
    assert read_csv(table, ("path",)) == []
    review.ask("POST", "/v1/labels", {"item": 5, "label": "pulse"})
    busy = subprocess.run(
        [sys.executable, "-m", "spectro", "review", runs["both"].path, sounds, "--out", table, "--port", "0"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert busy.returncode == 2
    assert "is written by process" in busy.stderr
    review.stop()
    again = ReviewProcess(runs["both"].path, sounds, table)
    assert again.line.startswith("5 of 6 recordings have no label")
    assert again.ask("GET", "/v1/review")[0] == 200  # it listens, so a signal ends it
    assert again.stop() == 0


@pytest.mark.slow
def test_other_pages_and_wrong_requests_are_turned_away(review: ReviewProcess, tmp_path: Path) -> None:
    label = {"item": 0, "label": "hum"}
    assert review.ask("GET", "/v1/review", Host="evil.example")[0] == 421
    assert review.ask("POST", "/v1/labels", label, Origin="http://evil.example")[0] == 403
    assert review.ask("POST", "/v1/labels", label, **{"Content-Type": "text/plain"})[0] == 415
    assert review.ask("POST", "/v1/labels", {"item": 0, "label": "x" * 20_000})[0] == 413
    assert review.ask("POST", "/v1/labels", [1])[0] == 400
    for item in (-1, 99, "0", True, None):
        assert review.ask("POST", "/v1/labels", {"item": item, "label": "hum"})[0] == 404
    for name in ("", " ", "=1+1", "../x", "a\nb\x00", "-x", 3, None):
        assert review.ask("POST", "/v1/labels", {"item": 0, "label": name})[0] == 422
    assert review.ask("GET", "/v1/jobs/99")[0] == 404
    assert review.ask("GET", "/page/..%2fapp.py")[0] == 404
    assert not (tmp_path / "labels.csv").exists()


def test_a_table_keeps_rows_about_other_files(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("path,label\nelsewhere.wav,hum\n", encoding="utf-8")
    labels = Labels.open(table)
    labels.give(tmp_path / "sub" / "a.wav", "hiss", "hum")
    labels.give(Path("/somewhere/b.wav"), "hum", "hum")
    labels.give(tmp_path / "sub" / "a.wav", "pulse", "hum")
    labels.undo()
    rows = {row["path"]: row["label"] for row in read_csv(table, ("path", "label", "predicted"))}
    assert rows == {"elsewhere.wav": "hum", "sub/a.wav": "hiss", "/somewhere/b.wav": "hum"}
    assert Labels.open(table).classes() == ("hiss", "hum")
    table.write_text("path,label\n,hum\n", encoding="utf-8")
    with pytest.raises(DataError, match="without a path or a label"):
        Labels.open(table)


def test_names_of_classes_are_cleaned() -> None:
    assert class_name("  a   b ", ()) == "a b"
    assert class_name("=odd", ("=odd",)) == "=odd"
    with pytest.raises(ValueError, match="slash"):
        class_name("a/b", ())


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"THE REVIEW PAGE IS UNTESTED IN A BROWSER: there is no {CHROMIUM}")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_labels_by_keys(review: ReviewProcess, tmp_path: Path, width: int) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="THE REVIEW PAGE IS UNTESTED IN A BROWSER")
    messages: list[str] = []
    table = tmp_path / "labels.csv"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        tab = browser.new_page(viewport={"width": width, "height": 800})
        tab.on("console", lambda message: messages.append(message.text))
        tab.on("pageerror", lambda error: messages.append(str(error)))
        tab.goto(f"http://127.0.0.1:{review.port}/")

        def labelled(count: int) -> None:
            tab.locator("#count").filter(has_text=f"{count} of 6").wait_for()

        def shown(place: int) -> None:
            tab.locator("#facts").filter(has_text=f"{place} of 6").wait_for()
            tab.locator(".view canvas").wait_for()

        shown(1)
        assert "<b>" in tab.locator("#name").inner_text()
        tab.keyboard.press("2")
        labelled(1)
        shown(2)
        tab.keyboard.press("Enter")
        labelled(2)
        shown(3)
        tab.keyboard.press("0")
        labelled(3)
        tab.keyboard.press("u")
        labelled(2)
        shown(3)
        tab.locator("#new-name").fill("siren u")
        tab.get_by_role("button", name="Add and label").click()
        labelled(3)
        shown(4)
        tab.keyboard.press("s")
        shown(5)
        tab.get_by_role("button", name="hum").click()
        labelled(4)
        shown(6)
        tab.keyboard.press("Space")
        tab.get_by_role("button", name="Pause").wait_for()
        tab.keyboard.press("4")
        tab.get_by_role("heading", name="All recordings have a label").wait_for()
        tab.get_by_role("button", name="Show the skipped ones").click()
        shown(4)
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        browser.close()
    assert messages == []
    given = [row["label"] for row in read_csv(table, ("path", "label", "predicted"))]
    assert len(given) == 5
    assert (given[0], given[2], given[3], given[4]) == ("hiss", "siren u", "hum", "pulse")
