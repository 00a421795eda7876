"""Evaluation at segment, clip and group level, kept in `metrics.json`; reading it changes nothing else of a run."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from spectro.core.errors import ConfigError, DataError, RunError
from spectro.core.predictions import VOTES, Predictions
from spectro.core.tables import Subset
from spectro.evaluation.compare import compare
from spectro.evaluation.crossval import compare_folds, summarize
from spectro.evaluation.evaluate import (
    by_level,
    compute_metrics,
    evaluate,
    evaluate_predictions,
    load_or_compute,
    read_metrics,
)
from spectro.evaluation.label_issues import find_label_issues
from spectro.evaluation.metrics import METRICS
from spectro.evaluation.results import Metrics
from spectro.evaluation.statistics import BootstrapConfig
from spectro.inference.temperature import fit_temperature
from tests.builders import drop_predictions, make_run, model_card, random_predictions, replace_predictions, split_facts

QUICK = BootstrapConfig(repeats=200)


def predictions(groups_of: int = 1) -> Predictions:
    """24 clips of 4 segments; `groups_of` clips of one class make a group."""
    rng = np.random.default_rng(0)
    clips = np.arange(24).repeat(4)
    truth = clips // 6
    probs = rng.dirichlet(np.ones(4), size=96) * 0.6 + np.eye(4)[truth] * 0.4
    return Predictions(
        ids=tuple(f"{clip}@{i}" for i, clip in enumerate(clips)),
        clip_ids=tuple(map(str, clips)),
        groups=tuple(str(clip // groups_of) for clip in clips),
        labels=("blues", "jazz", "pop", "rock"),
        probs=probs,
        truth=truth,
    )


def contents(path: Path) -> dict[str, bytes]:
    """Return every file below a folder but `metrics.json`."""
    files = (file for file in path.rglob("*") if file.is_file() and file.name != "metrics.json")
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def test_metrics_lie_in_their_intervals_at_every_level() -> None:
    metrics = evaluate_predictions(predictions(groups_of=2), config=QUICK)
    items = metrics.items
    assert (items.segments, items.clips, items.groups, items.unlabelled) == (96, 24, 12, 0)
    assert metrics.levels == ("segment", "clip", "group")
    for name in metrics.levels:
        level = metrics.level(name)
        assert level is not None
        for metric in METRICS:
            estimate = level.metric(metric)
            assert estimate is not None
            assert estimate.low <= estimate.value <= estimate.high, (name, metric)
        assert np.sum(level.confusion) == level.n
        assert sum(scores.support for scores in level.per_class.values()) == level.n
    values = json.loads(json.dumps(metrics.to_dict(), allow_nan=False))
    assert Metrics.from_dict(values).to_dict() == metrics.to_dict()


def test_voting_helps_and_segments_are_not_independent() -> None:
    segments = predictions()
    metrics = evaluate_predictions(segments, config=QUICK)
    assert metrics.segment is not None
    assert metrics.clip.accuracy.value >= metrics.segment.accuracy.value
    assert metrics.bootstrap.groups == 24
    alone = compute_metrics(dataclasses.replace(segments, groups=segments.ids), QUICK)
    assert alone.accuracy.value == metrics.segment.accuracy.value
    assert alone.accuracy != metrics.segment.accuracy


def test_groups_of_one_clip_or_of_mixed_class_make_no_level() -> None:
    assert evaluate_predictions(predictions(), config=QUICK).group is None
    mixed = evaluate_predictions(predictions(groups_of=4), config=QUICK)  # 6 clips a class: groups straddle
    assert mixed.group is None
    assert mixed.items.groups is None
    assert mixed.bootstrap.groups == 6


def test_unlabelled_items_are_left_out_and_counted() -> None:
    some = predictions()
    truth = some.truth.copy()
    truth[:8] = -1
    metrics = evaluate_predictions(dataclasses.replace(some, truth=truth), config=QUICK)
    assert metrics.items.unlabelled == 8
    assert metrics.clip.n == 22
    with pytest.raises(DataError, match="no prediction has a known truth"):
        evaluate_predictions(dataclasses.replace(some, truth=np.full(96, -1)))


def test_one_group_has_metrics_without_intervals() -> None:
    one = dataclasses.replace(predictions(), groups=("album",) * 96)
    accuracy = evaluate_predictions(one, config=QUICK).clip.accuracy
    assert np.isnan(accuracy.low)
    assert accuracy.value > 0
    assert accuracy.to_dict()["low"] is None


def test_a_table_of_another_program_is_evaluated(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text("id,truth,cat,dog\na,cat,0.9,0.1\nb,dog,0.6,0.4\nc,cat,0.7,0.3\n")
    metrics = evaluate_predictions(Predictions.load(path), config=QUICK)
    assert metrics.clip.accuracy.value == pytest.approx(2 / 3)
    assert metrics.clip.confusion == ((2, 0), (1, 0))
    assert metrics.clip.top3 is None
    assert metrics.segment is None
    assert metrics.predictions == ""


def test_segments_of_clips_decided_elsewhere_get_a_level() -> None:
    segments = predictions(groups_of=2)
    clips = segments.pool("hard")
    metrics = evaluate_predictions(clips, segments=segments, config=QUICK)
    assert metrics.segment == compute_metrics(segments, QUICK)
    assert metrics.clip == compute_metrics(clips, QUICK)
    assert metrics.items.segments == 96
    assert metrics.by_segments == ()
    assert list(by_level(clips, segments=segments)) == ["segment", "clip", "group"]
    assert evaluate_predictions(clips, config=QUICK).segment is None


def test_foreign_validation_predictions_fit_a_temperature() -> None:
    test, validation = random_predictions(1, 40), random_predictions(2, 40)
    metrics = evaluate_predictions(test, validation=validation, config=QUICK)
    assert metrics.calibration.temperature == fit_temperature(validation.pool())
    assert metrics.calibration.after is not None
    assert set(metrics.votes) == set(VOTES)
    assert [point.segments for point in metrics.by_segments] == [1, 2, 3]
    unknown = dataclasses.replace(validation, truth=np.full(120, -1))
    assert evaluate_predictions(test, validation=unknown, config=QUICK).calibration.temperature is None


def test_a_run_keeps_its_metrics(tmp_path: Path) -> None:
    card = model_card("run", vote="hard", split=split_facts(by="segment"), labels=predictions().labels)
    run = make_run(tmp_path / "run", {"test": predictions()}, card)
    with pytest.raises(RunError, match=r"metrics\.json does not exist; evaluate the run"):
        read_metrics(run)
    metrics = evaluate(run.path, config=QUICK)
    assert (metrics.run, metrics.subset, metrics.split, metrics.vote) == ("run", "test", "segment (LEAKY)", "hard")
    assert metrics.calibration.temperature is None
    assert read_metrics(run.path) == metrics == load_or_compute(run)


def test_the_temperature_is_the_cards(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", card=model_card("run", temperature=1.7))
    assert evaluate(run, config=QUICK).calibration.temperature == 1.7
    assert evaluate(run, subset="val", config=QUICK).calibration.temperature is None
    drop_predictions(run, "val")
    assert load_or_compute(run).calibration.temperature is None


@pytest.mark.parametrize(
    "change", ["predictions", "validation", "absent", "damaged", "hand", "format", "subset", "card"]
)
def test_metrics_of_something_else_are_computed_again(tmp_path: Path, change: str) -> None:
    run = make_run(tmp_path / "run")
    stale = evaluate(run, config=QUICK)
    assert load_or_compute(run) == stale
    path = run.metrics_path
    if change in ("predictions", "validation"):
        subset: Subset = "test" if change == "predictions" else "val"
        replace_predictions(run, subset, random_predictions(7))
        os.utime(run.path / f"predictions-{subset}.npz", (0, 0))  # older than the metrics: the content counts
    elif change == "absent":
        path.unlink()
    elif change == "damaged":
        path.write_bytes(path.read_bytes()[:200])
    elif change == "hand":
        path.write_text(path.read_text().replace('"n": 9', '"n": 8'))
    elif change == "format":
        path.write_text(path.read_text().replace("spectro-metrics", "spectro-card"))
    elif change == "subset":
        evaluate(run, subset="val", config=QUICK)
    else:
        run.write_card(dataclasses.replace(run.card, temperature=1.5, vote="hard"))
    fresh = load_or_compute(run)
    assert fresh == evaluate(run)
    assert fresh.subset == "test"
    assert fresh.bootstrap.repeats == 1000
    assert (fresh.predictions != stale.predictions) == (change in ("predictions", "validation", "card"))


def test_touched_predictions_are_not_evaluated_again(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    metrics = evaluate(run, config=QUICK)
    os.utime(run.predictions_path("test"), (2e9, 2e9))
    assert load_or_compute(run) == metrics


def test_an_impossible_confidence_leaves_the_run_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="probability"):
        evaluate(run, min_confidence=60, config=QUICK)
    assert not run.metrics_path.exists()


def test_reading_never_writes(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / name, {"test": random_predictions(seed, 60), "val": random_predictions(seed + 9)})
        for seed, name in enumerate("ab")
    ]
    parts = random_predictions(5, 60)
    folds = [make_run(tmp_path / f"fold{n}", {"test": parts.select(np.arange(180) // 3 % 2 == n)}) for n in (0, 1)]
    before = contents(tmp_path)
    for run in runs:
        evaluate(run, config=QUICK)
        evaluate(run, subset="val", min_confidence=0.5, config=QUICK)
        load_or_compute(run)
        read_metrics(run)
    compare(runs, config=QUICK)
    summarize(runs, config=QUICK)
    compare_folds(runs, runs[::-1], config=QUICK)
    find_label_issues(folds)
    assert contents(tmp_path) == before
