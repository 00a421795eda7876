"""Ensembles: members meet at clip level, weights come from validation only, and the result is a run like any other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spectro.core.errors import ConfigError, RunError
from spectro.core.runs import Run
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.evaluate import evaluate
from spectro.evaluation.statistics import BootstrapConfig
from spectro.inference.combination import combine_predictions
from spectro.inference.temperature import fit_temperature
from tests.builders import (
    LABELS,
    drop_predictions,
    make_run,
    model_card,
    random_predictions,
    replace_predictions,
    split_facts,
)

QUICK = BootstrapConfig(repeats=50)


def model_run(
    path: Path, seed: int, *, sha: str = "f00", clips: int = 30, segments: int = 3, skill: float = 2.0
) -> Run:
    """Return a run with test and validation predictions."""
    test, val = (random_predictions(number, clips, segments, skill) for number in (seed, seed + 100))
    return make_run(path, {"test": test, "val": val}, model_card(path.name, split=split_facts(sha256=sha)))


def change_predictions(run: Run, **changes: Any) -> None:
    """Change the test predictions of a run."""
    replace_predictions(run, "test", dataclasses.replace(run.predictions("test"), **changes))


def contents(path: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_members_meet_at_clip_level(tmp_path: Path) -> None:
    first, second = model_run(tmp_path / "a", 1, segments=3), model_run(tmp_path / "b", 2, segments=5)
    both = ensemble([first, second.path], out=tmp_path / "both")
    clips = Run.open(both.path).predictions("test")
    pooled = [run.predictions("test").pool() for run in (first, second)]
    assert clips.ids == clips.clip_ids == pooled[0].ids
    np.testing.assert_allclose(clips.probs, (pooled[0].probs + pooled[1].probs) / 2)
    assert len(both.predictions("val")) == 30
    assert both.segment_predictions("test") is None
    assert not both.segments_path("test").exists()


def test_card_lists_members_and_the_split(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / "runs" / name, seed) for name, seed in (("a", 1), ("b", 2))]
    both = ensemble(runs, out=tmp_path / "runs" / "both", weights=[3, 1], command="spectro ensemble a b")
    card = both.card
    assert card.is_ensemble
    assert [(m.path, m.name, m.weight) for m in card.members] == [("../a", "a", 0.75), ("../b", "b", 0.25)]
    assert card.split.sha256 == "f00"
    assert card.labels == LABELS
    assert card.command == "spectro ensemble a b"
    assert [member.path.resolve() for member in both.members()] == [run.path.resolve() for run in runs]
    assert set(card.files) == {"predictions-test.npz", "predictions-val.npz", "segments-test.npz", "segments-val.npz"}


def test_temperature_is_fitted_when_the_ensemble_is_made(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2))]
    both = ensemble(runs, out=tmp_path / "both")
    assert both.card.temperature == fit_temperature(both.predictions("val")) != 1
    assert evaluate(both, config=QUICK).calibration.temperature == both.card.temperature
    drop_predictions(runs[1], "val")
    without = ensemble(runs, out=tmp_path / "without")
    assert without.card.temperature == 1
    assert not without.has_predictions("val")
    assert evaluate(without, config=QUICK).calibration.temperature is None


def test_aligned_segments_are_combined_too(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2))]
    shuffled = runs[1].predictions("test").select(np.random.default_rng(0).permutation(90))
    replace_predictions(runs[1], "test", shuffled)
    both = ensemble(runs, out=tmp_path / "both")
    segments = both.segment_predictions("test")
    assert segments is not None
    first = runs[0].predictions("test")
    place = {name: item for item, name in enumerate(shuffled.ids)}
    second = shuffled.select([place[name] for name in first.ids])
    assert segments.ids == first.ids
    np.testing.assert_allclose(segments.probs, (first.probs + second.probs) / 2)
    metrics = evaluate(both, config=QUICK)
    assert metrics.levels == ("segment", "clip")
    assert metrics.segment is not None
    assert metrics.items.segments == metrics.segment.n == 90
    assert metrics.segment.accuracy.value == pytest.approx((segments.predicted == segments.truth).mean())
    assert metrics.by_segments == ()


def test_segment_level_leaves_clips_as_they_were(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2))]
    both = ensemble(runs, out=tmp_path / "both", weights="stacked")
    with_segments = evaluate(both, config=QUICK)
    drop_predictions(both, "test", segments=True)
    without = evaluate(both, config=QUICK)
    assert without.segment is None
    assert without.clip == with_segments.clip
    assert without.calibration == with_segments.calibration


def test_an_ensemble_can_be_a_member(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2), ("c", 3))]
    pair = ensemble(runs[:2], out=tmp_path / "pair")
    three = ensemble([pair, runs[2]], out=tmp_path / "three", weights=[2, 1])
    metrics = evaluate(three, config=QUICK)
    assert metrics.segment is not None
    assert metrics.segment.n == 90
    assert metrics.clip.n == 30
    best = max(evaluate(run, config=QUICK).clip.accuracy.value for run in runs)
    assert metrics.clip.accuracy.value >= best - 0.1
    assert [leaf.name for leaf in three.leaves()] == ["a", "b", "c"]


@pytest.mark.parametrize("vote", ["soft", "hard", "log-mean", "median", "confident"])
def test_any_vote_rule_combines(tmp_path: Path, vote: str) -> None:
    runs = [model_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2), ("c", 3))]
    clips = ensemble(runs, out=tmp_path / "all", vote=vote).predictions("test")
    np.testing.assert_allclose(clips.probs.sum(axis=1), 1)


def test_shares_of_a_hard_vote_survive_its_evaluation(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / name, seed, skill=0.5) for name, seed in (("a", 1), ("b", 2), ("c", 3))]
    shares = ensemble(runs, out=tmp_path / "all", vote="hard").clip_predictions("test").probs
    assert set(np.unique(shares.round(3))) == {0, 0.333, 0.667, 1}


@pytest.mark.parametrize("weights", ["fitted", "per-class", "stacked"])
def test_weights_fitted_on_validation_survive_the_card(tmp_path: Path, weights: Any) -> None:
    runs = [model_run(tmp_path / "good", 1, skill=3.0), model_run(tmp_path / "poor", 2, skill=0.0)]
    both = ensemble(runs, out=tmp_path / "both", weights=weights)
    combination = Run.open(both.path).card.combination
    assert combination is not None
    members = [run.predictions("test").pool() for run in runs]
    np.testing.assert_allclose(combine_predictions(combination, members).probs, both.predictions("test").probs)
    assert (both.predictions("test").predicted == members[0].truth).mean() > 0.9


def test_an_earlier_ensemble_is_replaced(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2))]
    first = ensemble(runs, out=tmp_path / "both")
    evaluate(first, config=QUICK)
    drop_predictions(runs[1], "val")
    change_predictions(runs[1], ids=tuple(f"{name}0" for name in runs[1].predictions("test").ids))
    second = ensemble(runs, out=tmp_path / "both", weights=[1, 2])
    assert {path.name for path in second.path.iterdir() if path.name[0] != "."} == {
        "card.json",
        "ensemble.json",
        second.card.generation,
    }
    assert [path.name for path in second.folder.iterdir()] == ["predictions-test.npz"]
    assert not second.metrics_path.exists()
    assert second.card.members[1].weight == pytest.approx(2 / 3)
    (tmp_path / "empty").mkdir()
    assert ensemble(runs, out=tmp_path / "empty").card.is_ensemble


@pytest.mark.parametrize("kind", ["member", "nested", "run", "data", "other", "file"])
def test_what_is_no_ensemble_is_never_overwritten(tmp_path: Path, kind: str) -> None:
    runs = [model_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2))]
    pair = ensemble(runs, out=tmp_path / "pair")
    three = ensemble([pair, runs[0]], out=tmp_path / "three")
    model_run(tmp_path / "run", 5)
    for folder, name in (("data", "clips.csv"), ("other", "notes.txt")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("clip\n")
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "pair", target_is_directory=True)
    out, message = {
        "member": (tmp_path / "link", "is a member"),
        "nested": (tmp_path / "sub" / ".." / "pair", "is a member"),
        "run": (tmp_path / "run", "is a trained run"),
        "data": (tmp_path / "data", "is a data folder"),
        "other": (tmp_path / "other", "other files"),
        "file": (tmp_path / "file", "is a file"),
    }[kind]
    before = contents(tmp_path)
    with pytest.raises(RunError, match=message) as refused:
        ensemble([three if kind == "nested" else pair, runs[0]], out=out)
    assert "\n" not in str(refused.value)
    assert contents(tmp_path) == before


def test_a_cycle_of_members_is_refused(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2))]
    pair = ensemble(runs, out=tmp_path / "pair")
    member = dataclasses.replace(pair.card.members[0], path="../pair")
    pair.write_card(dataclasses.replace(pair.card, members=(member, pair.card.members[1])))
    with pytest.raises(RunError, match="member of itself"):
        ensemble([pair, runs[0]], out=tmp_path / "other")


def test_runs_of_different_splits_are_refused(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / "a", 1), model_run(tmp_path / "b", 2, sha="bad")]
    with pytest.raises(RunError, match="may have trained the other"):
        ensemble(runs, out=tmp_path / "both")


def test_runs_with_different_clips_or_labels_are_refused(tmp_path: Path) -> None:
    first, fewer = model_run(tmp_path / "a", 1), model_run(tmp_path / "b", 2, clips=29)
    with pytest.raises(RunError, match=r"only the first has '029\.wav'"):
        ensemble([first, fewer], out=tmp_path / "both")
    other = model_run(tmp_path / "c", 3)
    change_predictions(other, labels=(*LABELS[:2], "rock"))
    with pytest.raises(RunError, match=r"card\.json \(first\) and the predictions beside it"):
        ensemble([first, other], out=tmp_path / "both")
    other.write_card(dataclasses.replace(other.card, labels=(*LABELS[:2], "rock")))
    with pytest.raises(RunError, match=f"only the first has '{LABELS[2]}'"):
        ensemble([first, other], out=tmp_path / "both")
    wrong = model_run(tmp_path / "d", 4)
    change_predictions(wrong, truth=(wrong.predictions("test").truth + 1) % 3)
    with pytest.raises(RunError, match="disagree about the true class"):
        ensemble([first, wrong], out=tmp_path / "both")
    assert not (tmp_path / "both").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": [1.0]}, "1 weights were given for 2 runs"),
        ({"weights": [1.0, -1.0]}, "must not be negative"),
        ({"weights": [0.0, 0.0]}, "not all 0"),
        ({"weights": "bets"}, "must be one of"),
        ({"weights": "fitted", "vote": "hard"}, "need the soft vote"),
        ({"weights": "best", "vote": "median"}, "need the soft vote"),
        ({"vote": "sofd"}, "did you mean 'soft'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    runs = [model_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2))]
    with pytest.raises(ConfigError, match=message):
        ensemble(runs, out=tmp_path / "both", **settings)
    assert not (tmp_path / "both").exists()


def test_fitting_needs_two_runs_with_validation(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2))]
    with pytest.raises(ConfigError, match="at least 2"):
        ensemble(runs[:1], out=tmp_path / "both")
    unknown = dataclasses.replace(runs[1].predictions("val"), truth=np.full(90, -1))
    for run in runs:
        replace_predictions(run, "val", unknown)
    with pytest.raises(RunError, match="no known truth"):
        ensemble(runs, out=tmp_path / "both", weights="fitted")
    assert ensemble(runs, out=tmp_path / "equal").card.temperature == 1
    drop_predictions(runs[1], "val")
    with pytest.raises(RunError, match="no validation predictions"):
        ensemble(runs, out=tmp_path / "both", weights="fitted")
