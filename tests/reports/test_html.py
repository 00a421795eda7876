"""The report: one file that needs no other, opens with the answer, and names what is missing or leaky."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectro.core.errors import ConfigError, RunError
from spectro.core.files import digest
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.data.audit import audit
from spectro.data.splits import split
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.evaluate import load_or_compute
from spectro.experiments.leakage import LeakageGapConfig, leakage_gap
from spectro.reports.html import LIMIT, report
from spectro.reports.sections import CHECKED
from tests import builders
from tests.builders import drop_predictions, replace_predictions
from tests.reports.conftest import make_run, predictions_of


def headings(text: str) -> list[str]:
    """Ids of the page's sections, in order."""
    return re.findall(r'<h2 id="(.*?)">', text)


def percent(value: float, digits: int = 0) -> str:
    """A share as the page shows it."""
    return f"{100 * value:.{digits}f}\N{NARROW NO-BREAK SPACE}%"


def missing(text: str) -> list[str]:
    """What the page lists as missing."""
    return re.findall(r"data-missing>(.*?)</p>", text)


def attribute(text: str, name: str) -> str:
    """The first value of an attribute."""
    match = re.search(rf'{name}="(.*?)"', text)
    assert match, name
    return match[1]


def test_one_file_asks_for_nothing_else(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < LIMIT
    assert "default-src 'none'" in text
    assert set(re.findall(r'(?:src|href)="([^"]{5})', text)) == {"data:"}
    assert not re.search(r"url\(|@import|https?://", text)


def test_it_opens_with_the_answer(page: Path, three_runs: tuple[Run, ...]) -> None:
    text = page.read_text(encoding="utf-8")
    accuracies = {run.name: load_or_compute(run).clip.accuracy for run in three_runs}
    lead = accuracies[attribute(text, "data-lead")]
    heading = re.search("<h1>(.*?)</h1>", text, re.DOTALL)
    assert heading
    assert re.findall("<b>(.*?)</b>", heading[1]) == [percent(value) for value in (lead.value, lead.low, lead.high)]
    assert "LEAKY" not in heading[1]
    assert (attribute(text, "data-leaky"), attribute(text, "data-chosen-on")) == ("false", "val")


def test_it_holds_every_part(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert headings(text) == [
        "models", "pairs", "confusions", "notable", "classes", "calibration", "voting",
        *(["members"] if attribute(text, "data-lead") == "both" else []),
        "map", "training", "others", "split", "reproduce",
    ]  # fmt: skip
    assert "fine-tuning starts" in text  # a mark of the training charts
    assert "spectro finetune data" in text
    assert re.findall('data-list="(.*?)"', text) == ["confident-errors", "lowest-margin", "label-issues"]
    images = text.count("data:image/webp;base64,")
    assert text.count("<audio") == text.count("data:audio/ogg;base64,") == images
    assert images > 2  # the two confused ones, and the notable ones
    assert 'class="overlay"' in text
    assert 0 <= int(attribute(text, "data-confirmed")) <= int(attribute(text, "data-checked")) == CHECKED


def test_an_ensemble_has_segment_metrics_where_members_align(page: Path, three_runs: tuple[Run, ...]) -> None:
    both = load_or_compute(three_runs[2])
    assert both.segment is not None
    row = re.search('<tr data-model="both".*?</tr>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert row
    assert percent(both.segment.accuracy.value, 1) in row[0]
    assert percent(both.segment.macro_f1.value, 1) in row[0]
    assert row[0].count("<circle") == 4


def test_each_member_has_its_gain_in_every_class(page: Path, three_runs: tuple[Run, ...]) -> None:
    both = three_runs[-1]
    text = page.read_text()
    table = text[text.index('<table class="data gains">') :]
    rows = table[: table.index("</table>")].split("<tr")[3:]
    assert len(rows) == 1 + len(both.card.labels)
    assert all(row.count("<td") == 1 + 2 * len(both.card.members) for row in rows)


def test_gains_of_a_damaged_member_are_named_as_missing(
    rendered: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    members = [make_run(tmp_path / name, rendered, seed=n) for n, name in enumerate(("first", "second"))]
    both = ensemble(members, out=tmp_path / "both")
    members[1].predictions_path("test").write_bytes(b"")
    page = report([both], out=tmp_path / "page.html").read_text()
    assert "What each member adds is unknown" in page
    assert any("second" in line and "What each member adds" in line for line in caplog.messages)


def test_training_shows_the_baseline_and_its_warnings(page: Path) -> None:
    assert 'data-baseline="0.25"' in page.read_text()
    assert "<li>under-fitted: &lt;train&gt; longer</li>" in page.read_text()


def test_an_ensemble_without_segment_metrics_says_so(rendered: Path, tmp_path: Path) -> None:
    members = [make_run(tmp_path / name, rendered, seed=n) for n, name in enumerate(("first", "second"))]
    both = ensemble(members, out=tmp_path / "both")
    for subset in ("test", "val"):
        drop_predictions(both, subset, segments=True)  # as where members cut clips differently
    both.write_card(both.card)
    text = report([both], out=tmp_path / "report.html").read_text(encoding="utf-8")
    row = re.search('<tr data-model="both".*?</tr>', text, re.DOTALL)
    assert row
    assert row[0].count("<circle") == 2
    assert "data-segment-accuracy" not in text
    assert 'class="timeline"' in text  # of the first member's segments


def test_reporting_leaves_card_and_weights_alone(three_runs: tuple[Run, ...], tmp_path: Path) -> None:
    names = ("card.json", "weights.safetensors", "predictions-test.npz")
    folders = [Path(shutil.copytree(run.path, tmp_path / run.name)) for run in three_runs]
    files = [folder / name for folder in folders for name in names if (folder / name).exists()]
    before = {path: digest(path) for path in files}
    report([tmp_path / run.name for run in three_runs], out=tmp_path / "report.html")
    assert {path: digest(path) for path in files} == before


def test_a_leaky_run_is_marked_and_never_leads(rendered: Path, tmp_path: Path) -> None:
    clean = make_run(tmp_path / "clean", rendered)
    leaky = make_run(tmp_path / "leaky", rendered, seed=3, leaky=True)
    text = report([leaky], out=tmp_path / "leaky.html").read_text(encoding="utf-8")
    heading = re.search("<h1>(.*?)</h1>", text, re.DOTALL)
    assert heading
    assert "LEAKY" in heading[1]
    assert attribute(text, "data-leaky") == "true"
    assert "data-skipped" in text  # no label issues are looked for
    both = report([leaky, clean], out=tmp_path / "both.html").read_text(encoding="utf-8")
    assert (attribute(both, "data-lead"), attribute(both, "data-chosen-on")) == ("clean", "")


def test_what_is_missing_is_named(rendered: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", rendered, val=False)
    gone = tmp_path / "gone"
    run.write_card(replace(run.card, data=replace(run.card.data, path=str(gone))))
    text = report([run], out=tmp_path / "report.html").read_text(encoding="utf-8")
    assert any(str(gone) in reason for reason in missing(text))
    assert "data-uncalibrated" in text
    assert "<audio" not in text
    text = report([run], out=tmp_path / "report.html", data=rendered).read_text(encoding="utf-8")
    assert "<audio" in text
    assert any(run.weights_path.name in reason for reason in missing(text))  # so there is no overlay
    assert 'class="overlay"' not in text


def test_names_are_escaped(tmp_path: Path) -> None:
    ids = tuple(f"<i>{n}</i>.wav" for n in range(12))
    labels = ("<script>alert(1)</script>", "b & c")
    probs = np.where(np.arange(12)[:, None] % 3 == 0, [0.3, 0.7], [0.8, 0.2])
    predictions = Predictions(ids=ids, clip_ids=ids, groups=ids, labels=labels, probs=probs, truth=np.arange(12) % 2)
    run = builders.make_run(tmp_path / "theirs", {"test": predictions}, builders.model_card("theirs", labels=labels))
    text = report([run], out=tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "<i>" not in text
    assert "b &amp; c" in text


def test_runs_on_different_clips_are_shown_but_not_compared(rendered: Path, tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, rendered) for name in ("first", "second")]
    predictions = predictions_of(rendered)
    replace_predictions(runs[1], "test", predictions.select(np.arange(len(predictions)) >= 6))
    runs[1].write_card(runs[1].card)
    text = report(runs, out=tmp_path / "report.html").read_text(encoding="utf-8")
    refused = re.search("data-refused>(.*?)</p>", text)
    assert refused
    assert "second: tested on other clips than first" in refused[1]
    with pytest.raises(ConfigError, match="at least 1"):
        report([], out=tmp_path / "none.html")
    with pytest.raises(RunError, match="no run folder"):
        report([tmp_path / "nowhere"], out=tmp_path / "none.html")


@pytest.mark.slow
def test_results_of_audit_and_leakage_gap_are_shown(rendered: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(rendered, tmp_path / "data"))
    run = make_run(tmp_path / "run", data)
    text = report([run], out=tmp_path / "report.html").read_text(encoding="utf-8")
    assert attribute(text, "data-audit") == "missing"
    assert "data-leakage" not in text
    gaps = leakage_gap(data, config=LeakageGapConfig(folds=2, trees=5))
    audit(data, split=split(data, name="other")[0].name, workers=1)
    text = report([run], out=tmp_path / "report.html").read_text(encoding="utf-8")
    assert attribute(text, "data-audit") == "other"
    sentence = re.search("data-leakage>(.*?)</p>", text)
    assert sentence
    accuracy = {gap.by: gap.segment_accuracy.value for gap in gaps}
    assert re.findall(r"\d+\N{NARROW NO-BREAK SPACE}%", sentence[1]) == [
        percent(accuracy["segment"]),
        percent(accuracy["group"]),
    ]
    assert re.findall('data-by="(.*?)"', text) == ["segment", "clip", "group"]
    (data / "audit.json").write_text("{", encoding="utf-8")
    text = report([run], out=tmp_path / "report.html").read_text(encoding="utf-8")
    assert any("audit.json" in reason for reason in missing(text))
