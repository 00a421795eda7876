"""The report: one file that needs no other, opens with the answer, and says what is missing or leaky."""

from __future__ import annotations

import base64
import csv
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError, RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.data.audit import audit
from spectro.data.splits import split
from spectro.data.store import open_store, picture_shape
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.evaluate import load_or_compute
from spectro.evaluation.label_issues import LabelIssue
from spectro.experiments.leakage import LeakageGapConfig, leakage_gap
from spectro.explain.saliency import grad_cam
from spectro.models import build
from spectro.plots.svg import Axis, Chart, Line, bar, interval, ticks, timeline
from spectro.reports.cam_overlay import Overlays
from spectro.reports.examples import Budget, Source, embed, exhibits
from spectro.reports.html import CHECKED, LIMIT, report
from spectro.reports.notable import SHOWN, extremes
from spectro.reports.tables import FORMATS
from spectro.training.checkpoint import HISTORY_COLUMNS

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
QUIET += ["--disable-component-update", "--autoplay-policy=no-user-gesture-required", "--mute-audio"]


NAMES = ("first", "second")


def make_run(path: Path, data: Path, *, seed: int = 0, leaky: bool = False, val: bool = True) -> Run:
    """A run on the rendered corpus that takes some "hiss" for "hum" and is right about most else."""
    store = open_store(data)
    labels = tuple(sorted({segment.clip.label for segment in store.segments}))
    truth = np.array([labels.index(segment.clip.label) for segment in store.segments])
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(truth), len(labels))) * 0.5 + 3 * np.eye(len(labels))[truth]
    fooled = np.array(["hiss-1" in segment.clip.id for segment in store.segments])
    logits[fooled] += 6 * np.eye(len(labels))[labels.index("hum")]
    run = Run(path)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = Predictions(
        ids=tuple(segment.id for segment in store.segments),
        clip_ids=tuple(segment.clip.id for segment in store.segments),
        groups=tuple(segment.clip.group for segment in store.segments),
        labels=labels,
        probs=probs,
        truth=truth,
    )
    found.save(run.predictions_path("test"))
    if val:
        found.save(run.predictions_path("val"))
    with run.history_path.open("w", newline="") as file:
        writer = csv.DictWriter(file, HISTORY_COLUMNS, restval="")
        writer.writeheader()
        for epoch in range(1, 9):
            stage = "frozen" if epoch < 5 else "finetune"
            row = {"train_loss": 2 / epoch, "val_loss": 2.2 / epoch, "train_accuracy": 0.5, "val_clip_accuracy": 0.4}
            writer.writerow({"epoch": epoch, "stage": stage, **row})
    name = "segment" if leaky else "group"
    run.write_card(
        {
            "name": path.name,
            "kind": "torch",
            "model": {"name": "resnet18", "parameters": 11_176_512},
            "labels": list(labels),
            "feature": {"name": "mel", "config_id": store.config_id, "config": store.config.to_dict()},
            "vote": "soft",
            "temperature": 1.0,
            "split": {
                "name": name,
                "title": f"{name} (LEAKY)" if leaky else name,
                "by": name,
                "sha256": ("bad" if leaky else "f00") * 21 + "0",
                "leaky": leaky,
                "facts": {"seed": 0, "leaking_groups": 3 if leaky else 0},
            },
            "data": {"path": str(data), "clips": 24},
            "command": "spectro finetune data",
            "history": {"finetune_starts": 5, "best_epoch": 7},
            "environment": {"python": "3.11"},
        }
    )
    return run


def give_network(run: Run, data: Path) -> Run:
    """Put an untrained network into a run, so that there is something to look into."""
    config, shape = ModelConfig(name="test_resnet"), picture_shape(open_store(data).config)
    torch.manual_seed(0)
    safetensors.torch.save_file(build(config, 4, shape).state_dict(), run.weights_path)
    run.write_card({**run.card(), "model": config.to_dict(), "input": list(shape)})
    return run


@pytest.fixture(scope="module")
def page(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    first, second = (give_network(make_run(folder / name, rendered, seed=n), rendered) for n, name in enumerate(NAMES))
    both = ensemble([first, second], out=folder / "both")
    return report([first, second, both], out=folder / "report.html")


def test_one_file_asks_for_nothing_else(page):
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < LIMIT
    assert "default-src 'none'" in text
    assert set(re.findall(r'(?:src|href)="([^"]{5})', text)) == {"data:"}
    assert not re.search(r"url\(|@import|https?://", text)


def test_it_opens_with_the_answer(page):
    heading = re.sub(r"\s+|<[^>]+>", " ", re.search("<h1>(.*?)</h1>", page.read_text(), re.DOTALL)[1])
    assert re.search(r"\b\d+\s?% .*of the test clips right; .*expect .*\d+\s?% .*to .*\d+\s?%", heading)
    assert "LEAKY" not in heading
    assert "the test clips had no say in the choice" in page.read_text()


def test_it_holds_every_part(page):
    text = page.read_text()
    for heading in (
        "Every model",
        "Are the differences real?",
        "What it confuses",
        "Class by class",
        "How far its confidence can be trusted",
        "how segments should vote",
        "How it was trained",
        "The other models",
        "Who decides together",
        "The split",
        "To do it again",
    ):
        assert heading in text, heading
    assert "fine-tuning starts" in text
    assert "spectro finetune data" in text
    assert "Worst and most doubtful clips" in text
    seen = text.count("data:image/webp;base64,")
    assert text.count("<audio") == text.count("data:audio/ogg;base64,") == seen
    assert seen > 2  # the two confused ones, and those that say most
    assert 'class="overlay"' in text
    assert "Grad-CAM" in text
    checked = re.search(r"Checked on (\d) of these clips: in (\d), blacking out", text)
    assert checked
    assert 0 <= int(checked[2]) <= int(checked[1]) == CHECKED


def test_a_leaky_run_says_so_and_never_leads(rendered, tmp_path):
    honest = make_run(tmp_path / "honest", rendered)
    leaky = make_run(tmp_path / "leaky", rendered, seed=3, leaky=True)
    text = report([leaky], out=tmp_path / "leaky.html").read_text()
    assert "LEAKY" in re.search("<h1>(.*?)</h1>", text, re.DOTALL)[1]
    assert "This split leaks" in text
    both = report([leaky, honest], out=tmp_path / "both.html").read_text()
    assert '<span class="name">honest</span>' in both
    assert "the only one of the models whose split does not leak" in both


def test_without_data_or_validation_it_says_what_is_missing(rendered, tmp_path):
    run = make_run(tmp_path / "run", rendered, val=False)
    run.write_card({**run.card(), "data": {"path": str(tmp_path / "gone")}})
    text = report([run], out=tmp_path / "report.html").read_text()
    assert "the data is not at hand" in text
    assert "no validation predictions" in text
    assert "<audio" not in text
    text = report([run], out=tmp_path / "report.html", data=rendered).read_text()
    assert "<audio" in text
    assert "the weights are not at hand" in text  # so there is no overlay
    assert 'class="overlay"' not in text


def test_predictions_alone_are_enough_and_names_are_escaped(tmp_path):
    run = Run(tmp_path / "theirs")
    ids = tuple(f"<i>{n}</i>.wav" for n in range(12))
    labels = ("<script>alert(1)</script>", "b & c")
    probs = np.where(np.arange(12)[:, None] % 3 == 0, [0.3, 0.7], [0.8, 0.2])
    Predictions(ids=ids, clip_ids=ids, groups=ids, labels=labels, probs=probs, truth=np.arange(12) % 2).save(
        run.predictions_path("test")
    )
    run.write_card({"name": "theirs"})
    text = report([run], out=tmp_path / "report.html").read_text()
    assert "<script>alert" not in text
    assert "<i>" not in text
    assert "b &amp; c" in text


def test_runs_on_different_clips_are_shown_but_not_compared(rendered, tmp_path):
    runs = [make_run(tmp_path / name, rendered) for name in ("first", "second")]
    some = runs[1].predictions("test")
    some.select(np.arange(len(some)) >= 6).save(runs[1].predictions_path("test"))
    text = report(runs, out=tmp_path / "report.html").read_text()
    assert "Not all models can be tested against each other" in text
    assert "second: tested on other clips than first" in text
    with pytest.raises(ConfigError, match="at least 1"):
        report([], out=tmp_path / "none.html")
    with pytest.raises(RunError, match="no run folder"):
        report([tmp_path / "nowhere"], out=tmp_path / "none.html")


def test_pictures_and_sounds_stay_within_their_budget_and_each_cell_gets_one_first(rendered, tmp_path):
    run = make_run(tmp_path / "run", rendered)
    segments = run.predictions("test")
    shuffled = Predictions(
        ids=segments.ids,
        clip_ids=segments.clip_ids,
        groups=segments.groups,
        labels=segments.labels,
        probs=np.roll(segments.probs, 1, axis=1),
        truth=segments.truth,
    )
    cells = exhibits(shuffled.pool(), shuffled)
    budget = Budget(segments=5)
    seen = embed(cells, Source(open_store(rendered)), budget)
    wrong = [shown for cell, shown in seen.items() if cell[0] != cell[1]]
    having = [sum(bool(one.sound and one.picture) for one in shown) for shown in wrong]
    assert sum(having) == 5
    assert max(having) - min(having) <= 1
    assert "listed by name only" in budget.missing[0]
    small = Budget(characters=1000)
    embed(cells, Source(open_store(rendered)), small)
    assert small.characters == 1000


def test_the_overlay_lies_where_the_network_looks_and_says_where_there_is_none(rendered, tmp_path):
    run = give_network(make_run(tmp_path / "run", rendered), rendered)
    bands, frames = picture_shape(open_store(rendered).config)
    found = Overlays.of(run)
    assert isinstance(found, Overlays)
    picture = np.random.default_rng(0).integers(0, 256, (bands, frames), dtype=np.uint8)
    layers = [found.layer(picture, label) for label in found.labels]
    assert found.layer(picture, "none of them") == ""
    for layer, label in zip(layers, found.labels, strict=True):
        cam = grad_cam(found.network, picture, found.labels.index(label))
        assert (cam is None) == (layer == "")
        if cam is not None:
            with Image.open(io.BytesIO(base64.b64decode(layer.partition(",")[2]))) as image:
                alpha = np.asarray(image.resize((frames, bands)))[..., 3]
            assert np.corrcoef(alpha.ravel(), cam.ravel())[0, 1] > 0.9
    run.write_card({**run.card(), "kind": "sklearn"})
    assert "needs a neural network" in Overlays.of(run)


def test_the_clips_that_say_most_are_in_order_and_no_clip_stands_twice():
    rng = np.random.default_rng(0)
    ids = tuple(map(str, range(60)))
    probs = rng.dirichlet(np.ones(4), size=60)
    clips = Predictions(ids=ids, clip_ids=ids, groups=ids, labels=tuple("abcd"), probs=probs, truth=np.arange(60) % 4)
    doubts = [LabelIssue(clip=n, label="a", suggested="b", label_probability=0, suggested_probability=1) for n in ids]
    lists = extremes(clips, None, doubts)
    shown = [one.clip for name in ("surest", "closest", "doubted") for one in lists[name]]
    assert len(set(shown)) == len(shown) == 3 * SHOWN
    wrong = np.flatnonzero(clips.predicted != clips.truth)
    assert [one.confidence for one in lists["surest"]] == sorted(probs[wrong].max(axis=1), reverse=True)[:SHOWN]
    margins = np.sort(probs, axis=1)[:, -1] - np.sort(probs, axis=1)[:, -2]
    free = [margin for n, margin in enumerate(margins) if str(n) not in {one.clip for one in lists["surest"]}]
    np.testing.assert_allclose([one.margin for one in lists["closest"]], sorted(free)[:SHOWN])
    rest = [clip for clip in ids if clip not in shown[: 2 * SHOWN]]
    assert [one.clip for one in lists["doubted"]] == rest[:SHOWN]
    assert extremes(clips)["doubted"] == []


def test_the_table_alone_comes_in_every_format(rendered, tmp_path):
    runs = [make_run(tmp_path / name, rendered, seed=n) for n, name in enumerate(("first", "second"))]
    for kind in FORMATS:
        text = report(runs, out=tmp_path / f"table.{kind}", format=kind).read_text()
        assert "first" in text
        assert "second" in text
        assert (kind == "csv") or "bootstrap over groups" in text
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert {row["level"] for row in rows} == {"segment", "clip"}
    assert {row["leaking_groups"] for row in rows} == {"0"}
    assert len(report(runs[:1], out=tmp_path / "one.md", format="md").read_text().splitlines()) == 5
    with pytest.raises(ConfigError, match="did you mean 'csv'"):
        report(runs, out=tmp_path / "table", format="cvs")


def test_what_the_audit_and_the_leak_gap_found_is_told(rendered, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(rendered, data)
    run = make_run(tmp_path / "run", data)
    assert "was not audited" in report([run], out=tmp_path / "report.html").read_text()
    leakage_gap(data, config=LeakageGapConfig(folds=2, trees=5))
    audit(data, split=split(data, name="other")[0].name, workers=1)
    text = report([run], out=tmp_path / "report.html").read_text()
    assert "What a leak would pretend" in text
    assert "compared the sound of 24 clips" in text
    assert "held against the split other, not against this one" in text


def test_intervals_of_an_earlier_version_are_drawn_again(rendered, tmp_path):
    run = make_run(tmp_path / "run", rendered)
    found = load_or_compute(run)
    old = {**found, "bootstrap": {name: value for name, value in found["bootstrap"].items() if name != "interval"}}
    run.write_metrics({**old, "clip": {}})
    assert load_or_compute(run) == found


def test_charts_are_drawn_inside_their_frame_whatever_the_data():
    chart = Chart(
        title="t <&>",
        x=Axis(label="x", low=0, high=1),
        y=Axis(label="y", low=0, high=1, percent=True),
        lines=[Line(label="a", points=[(-1, 2), (0.5, 0.5), (3, -4)], dots=True, whiskers=[(0.5, -9, 9)])],
        marks=[(0.9, "here")],
    )
    drawn = chart.svg()
    assert "t &lt;&amp;&gt;" in drawn
    for x, y in re.findall(r"([\d.-]+),([\d.-]+)", re.search('points="(.*?)"', drawn)[1]):
        assert 0 <= float(x) <= 360
        assert 0 <= float(y) <= 232
    unknown = {"value": None, "low": None, "high": None}
    assert "nan" not in interval(unknown) + bar(unknown) + bar({**unknown, "value": 0.5})
    assert timeline([0.1], [0.9], 0).count("<rect") == 4


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.4, 1), (1, 30), (0, 2.73), (1, 2), (5, 5)])
def test_ticks_are_few_round_and_inside(low, high):
    found = ticks(Axis(label="", low=low, high=high))
    assert 1 <= len(found) <= 8
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)


@pytest.mark.parametrize(("height", "above"), [(0.1, True), (0.9, False)])
def test_a_mark_is_labelled_where_the_lines_leave_room(height, above):
    unit = Axis(label="", low=0, high=1)
    line = Line(label="a", points=[(0, height), (0.8, height), (0.9, 1 - height)])  # a peak at the mark itself
    assert Chart(title="", x=unit, y=unit, lines=[line]).room(0.9) == (True, above)
    assert Chart(title="", x=unit, y=unit, lines=[line]).room(0.1) == (False, above)
