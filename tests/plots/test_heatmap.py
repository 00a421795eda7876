"""The heat map of a sweep prints every accuracy, also where cells failed or the split has no validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from spectro.evaluation.results import Estimate
from spectro.experiments.results import FailedCell, SweepCell, SweepResult, SweepScores
from spectro.plots.heatmap import heat_map, save_heat_map


def scores(accuracy: float) -> SweepScores:
    one = Estimate(value=accuracy, low=accuracy - 0.1, high=accuracy + 0.1)
    return SweepScores(clips=10, accuracy=one, macro_f1=one, log_loss=one)


def cell(first: int, second: str, accuracy: float, validation: bool = True) -> SweepCell:
    return SweepCell(
        settings={"mfcc.n_fft": first, "stats.set": second, "mfcc.hop": 512},
        split="group",
        validation=scores(accuracy) if validation else None,
        test=scores(accuracy + 0.05),
        reported=0.9 if first == 512 else None,
        parameters=None,
        fit_seconds=1.0,
        runs=(),
    )


def result(*cells: SweepCell, chosen: SweepCell | None) -> SweepResult:
    failed = FailedCell(settings={"mfcc.n_fft": 2048, "stats.set": "C", "mfcc.hop": 512}, reported=None, message="no")
    return SweepResult(
        recipe="A-cnn", preset="", protocol="", split="group", seeds=1, epochs_cap=None,
        settings=("mfcc.n_fft", "stats.set", "mfcc.hop"), cells=cells, chosen=chosen, failed=(failed,), files=(),
    )  # fmt: skip


CELLS = (cell(1024, "C", 0.625), cell(512, "C", 0.5), cell(512, "D", 0.75))


def test_every_value_is_text_and_the_chosen_cell_is_outlined(tmp_path: Path) -> None:
    path = save_heat_map(result(*CELLS, chosen=CELLS[2]), tmp_path / "sweep.svg")
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {".500", ".625", ".750", "failed", "study .90", "512", "1024", "2048", "mfcc.n_fft"} <= set(texts)
    assert any(".800" in text for text in texts)  # the chosen cell's test accuracy
    (panel,) = heat_map(result(*CELLS, chosen=CELLS[2])).axes
    (outline,) = panel.patches
    assert panel.get_xticklabels()[round(outline.get_x() + 0.47)].get_text() == "512"  # type: ignore[attr-defined]


def test_without_validation_the_test_accuracy_is_drawn() -> None:
    bare = tuple(replace(one, validation=None) for one in CELLS)
    (panel,) = heat_map(result(*bare, chosen=None)).axes
    texts = {text.get_text().partition("\n")[0] for text in panel.texts}
    assert texts == {".550", ".675", ".800", "failed"}
    assert not panel.patches
