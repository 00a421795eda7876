"""What a report reads may be damaged, missing or foreign: one line, or named as missing on the page."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from spectro import cli
from spectro.core.files import write_text
from spectro.core.runs import Run
from spectro.data.audit import audit
from spectro.data.store import open_store
from spectro.evaluation.evaluate import evaluate, load_or_compute
from spectro.experiments.leakage import LeakageGapConfig, leakage_gap
from spectro.plots.draw import draw_run
from spectro.reports.html import report
from tests.reports.conftest import give_network, make_run

Damage = Callable[[Path], None]


def cut(share: float) -> Damage:
    """Return a damage that cuts a file."""
    return lambda path: _write(path, path.read_bytes()[: int(share * path.stat().st_size)])


def flipped(seed: int) -> Damage:
    """Return a damage that changes one bit of a file."""

    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[np.random.default_rng(seed).integers(len(data))] ^= 4
        _write(path, bytes(data))

    return damage


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: dict[str, Damage] = {
    "cut-0": cut(0),
    "cut-half": cut(0.5),
    "flip-1": flipped(1),
    "flip-2": flipped(2),
    "zeros": lambda path: _write(path, bytes(path.stat().st_size)),
    "json": lambda path: _write(path, b'{"format": "spectro-card", "version": 1, "checksum": "0"}'),
    "folder": _folder,
    "gone": lambda path: path.unlink(),
}


@pytest.fixture(scope="module")
def original(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, audited, and `run`, evaluated and with a network; do not write into it."""
    folder = tmp_path_factory.mktemp("damaged")
    data = Path(shutil.copytree(rendered, folder / "data"))
    audit(data, workers=1)
    leakage_gap(data, config=LeakageGapConfig(folds=2, trees=5))
    run = give_network(make_run(folder / "run", data), data)
    evaluate(run)
    return folder


@pytest.fixture
def place(original: Path, tmp_path: Path) -> Path:
    """A copy of it, whose run knows the copy of the data."""
    folder = Path(shutil.copytree(original, tmp_path / "place"))
    run = Run.open(folder / "run")
    run.write_card(replace(run.card, data=replace(run.card.data, path=str(folder / "data"))))
    return folder


def outcome(place: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Report on the run; return the exit code and either the page or the line."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(["report", str(place / "run"), "--out", str(place / "report.html")])
    err = capsys.readouterr().err
    code = int(stopped.value.code or 0)
    if code:
        lines = [line for line in err.splitlines() if line.startswith("spectro: ")]
        assert len(lines) == 1, err
        return code, lines[0]
    return code, (place / "report.html").read_text(encoding="utf-8")


def missing(page: str) -> str:
    """Return what the page names as missing."""
    return "\n".join(re.findall(r"data-missing>(.*?)</p>", page))


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name", ["run/metrics.json", "run/history.csv", "data/audit.json", "data/leakage_gap.json", "run/card.json"]
)
def test_a_damaged_file_is_made_again_named_or_one_line(
    name: str, damage: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = outcome(place, capsys)[1] if name == "run/metrics.json" else ""
    path = place / name
    text = path.read_bytes()
    DAMAGES[damage](path)
    code, after = outcome(place, capsys)
    same = path.is_file() and path.read_bytes() == text
    if code:
        assert (code, path.name in after, str(path.parent) in after) == (2, True, True), after
    elif name.startswith("data/") and damage != "gone" and not same:
        assert path.name in missing(after)
    elif name == "run/metrics.json":
        assert re.findall("<h1>.*?</h1>", after, re.DOTALL) == re.findall("<h1>.*?</h1>", before, re.DOTALL)
    else:
        assert same or damage == "gone", "damage had no effect, and nobody said so"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [*DAMAGES, "pipe"])
def test_a_damaged_spectrogram_or_sound_is_named_on_the_page(
    damage: str, place: Path, rendered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(place / "data")
    for segment in store.segments[::2]:
        ({**DAMAGES, "pipe": _pipe}[damage])(store.picture_path(segment))
    code, page = outcome(place, capsys)
    assert code == 0, page
    assert ".png" in missing(page)
    assert "data:image/webp" in page  # of the others


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut-0", "cut-half", "zeros", "folder", "gone", "pipe"])
def test_a_damaged_sound_is_named_on_the_page(
    damage: str, place: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    sounds = Path(shutil.copytree(corpus, tmp_path / "sounds"))
    monkeypatch.setattr("spectro.core.data_folder.DataFolder.source_root", lambda _: sounds)
    for path in sounds.rglob("*.*"):
        if path.is_file():
            ({**DAMAGES, "pipe": _pipe}[damage])(path)
    code, page = outcome(place, capsys)
    assert code == 0, page
    assert "sound" in missing(page)
    assert "data:image/webp" in page


@pytest.mark.slow
def test_a_network_of_numbers_that_are_none_ends_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run.open(place / "run")
    weights = safetensors.torch.load_file(run.weights_path)
    safetensors.torch.save_file({name: one * float("nan") for name, one in weights.items()}, run.weights_path)
    run.write_card(run.card)
    code, page = outcome(place, capsys)
    assert code == 0, page
    assert "No map" in missing(page)


@pytest.mark.slow
def test_a_history_that_diverged_is_drawn(place: Path, tmp_path: Path) -> None:
    run = Run.open(place / "run")
    rows = run.history_path.read_text().splitlines()
    for word in ("nan", "inf", "1e300"):
        lines = [rows[0], *(re.sub(r"(?<=,)[0-9.]+", word, row) for row in rows[1:])]
        for kept in (lines, [*rows[:4], *lines[4:]]):
            write_text(run.history_path, "\n".join(kept) + "\n")
            run.write_card(run.card)
            again = Run(run.path)
            assert "<svg" in report([again], out=tmp_path / f"{word}.html").read_text(encoding="utf-8")
            assert draw_run(again, tmp_path / "plots")


def test_metrics_are_made_again_without_a_word_lost(place: Path) -> None:
    run = Run.open(place / "run")
    before = load_or_compute(run)
    for damage in DAMAGES.values():
        damage(run.metrics_path)
        assert load_or_compute(Run(run.path)) == before
        if run.metrics_path.is_dir():  # the only damage that cannot be written over
            run.metrics_path.rmdir()
            assert load_or_compute(Run(run.path)) == before
