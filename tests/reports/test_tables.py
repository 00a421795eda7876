"""The table of a comparison in every format."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from spectro.core.errors import ConfigError
from spectro.evaluation.results import Comparison, Estimate, ModelRow, Scores
from spectro.reports.html import report
from spectro.reports.tables import FORMATS, latex, markdown, p_value
from tests.reports.conftest import make_run

NAN = math.nan


def estimate(value: float, low: float = NAN, high: float = NAN) -> Estimate:
    return Estimate(value=value, low=low, high=high)


def comparison(name: str) -> Comparison:
    """One model without intervals and without segments."""
    scores = Scores(
        accuracy=estimate(0.5, 0.25, 0.75),
        macro_f1=estimate(0.4),
        balanced_accuracy=estimate(0.5),
        roc_auc=estimate(NAN),
        log_loss=estimate(0.7),
    )
    row = ModelRow(
        name=name, kind="torch", parameters=None, split="s", clips=4, groups=1, leaking_groups=0, segment=None,
        clip=scores,
    )  # fmt: skip
    return Comparison(models=(row,))


def test_the_table_alone_comes_in_every_format(rendered: Path, tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, rendered, seed=n) for n, name in enumerate(("first", "second"))]
    for kind in FORMATS:
        text = report(runs, out=tmp_path / f"table.{kind}", format=kind).read_text(encoding="utf-8")
        assert "first" in text
        assert "second" in text
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["level"] for row in rows} == {"segment", "clip"}
    assert {row["leaking_groups"] for row in rows} == {"0"}
    table = Comparison.from_dict(json.loads((tmp_path / "table.json").read_text(encoding="utf-8")))
    assert [model.name for model in table.models] == ["first", "second"]
    assert len(table.pairs) == 1
    assert len(table.notes) == 2  # the intervals, and how the first one was chosen
    assert [float(row["accuracy"]) for row in rows if row["level"] == "clip"] == [
        model.clip.accuracy.value for model in table.models
    ]
    one = report(runs[:1], out=tmp_path / "one.md", format="md").read_text(encoding="utf-8")
    assert len(one.splitlines()) == 5
    with pytest.raises(ConfigError, match="did you mean 'csv'"):
        report(runs, out=tmp_path / "table", format="cvs")


def test_unknown_values_are_dashes_and_signs_are_escaped() -> None:
    table = markdown(comparison("a|b"))
    assert table.splitlines()[2] == "| a\\|b | s | 4 | 1 | 0 | 50.0 [25.0, 75.0] | 40.0 |  |  | - |"
    assert r"50\% \& a\_b" in latex(comparison("50% & a_b"))


@pytest.mark.parametrize(("value", "text"), [(0.0123, "0.012"), (0.0004, "<0.001"), (1.0, "1.000"), (NAN, "n/a")])
def test_no_p_value_is_zero(value: float, text: str) -> None:
    assert p_value(value) == text
