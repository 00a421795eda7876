"""Spectrograms and sound in the page stay within their budget, and every list gets one first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from spectro.data.store import open_store
from spectro.reports.examples import ExampleFinder
from spectro.reports.media import Budget, MediaSource, embed
from tests.reports.conftest import predictions_of


def test_media_stay_within_the_budget_and_each_cell_gets_one_first(rendered: Path) -> None:
    segments = predictions_of(rendered)
    shuffled = replace(segments, probs=np.roll(segments.probs, 1, axis=1))
    cells = ExampleFinder(shuffled.pool(), shuffled).by_cell()
    budget = Budget(segments=5)
    source = MediaSource(open_store(rendered))
    embedded = embed(cells, source, budget)
    wrong = [examples for cell, examples in embedded.items() if cell[0] != cell[1]]
    having = [sum(bool(one.sound and one.image) for one in examples) for examples in wrong]
    assert sum(having) == 5
    assert max(having) - min(having) <= 1
    assert len(budget.missing) == 1
    small = Budget(characters=1000)
    embed(cells, source, small)
    assert small.characters == 1000


def test_examples_of_a_cell_are_sorted_by_confidence(rendered: Path) -> None:
    segments = predictions_of(rendered)
    cells = ExampleFinder(segments.pool(), segments).by_cell()
    assert any(true != predicted for true, predicted in cells)
    for (true, predicted), examples in cells.items():
        confidences = [example.confidence for example in examples]
        assert confidences == sorted(confidences, reverse=true != predicted)
        assert all(bool(example.segment) == (true != predicted) for example in examples)
        assert all(example.correct == (true == predicted) for example in examples)
