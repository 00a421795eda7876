"""The map of the report, drawn as SVG, or why there is none."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from spectro.core.runs import Run
from spectro.reports.map_svg import report_map


def test_the_page_shows_the_map(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    drawings = re.findall(r'<svg class="chart map".*?</svg>', text, re.DOTALL)
    assert [one.count("<path") for one in drawings] == [24, 24]
    for drawing in drawings:
        ET.fromstring(drawing)


def test_without_weights_or_data_the_reason_is_named(three_runs: tuple[Run, ...], tmp_path: Path) -> None:
    run = three_runs[0]
    whole = report_map(run, None, [])
    assert whole is not None
    assert [label for label, _ in whole.legend] == list(run.card.labels)
    missing: list[str] = []
    assert report_map(run, tmp_path / "gone", missing) is None
    assert str(tmp_path / "gone") in missing[0]
