"""What a member adds to an ensemble: all of it where it alone knows a class, nothing where it repeats another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectro.core.errors import ConfigError
from spectro.core.runs import Run
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.evaluate import evaluate
from spectro.evaluation.member_gains import member_gains
from spectro.evaluation.statistics import BootstrapConfig
from tests.builders import LABELS, make_run, random_predictions

QUICK = BootstrapConfig(repeats=200)


def knows(path: Path, classes: set[int], clips: int = 60) -> Run:
    """Return a run that is sure of these classes, and takes every other clip for each class alike."""
    predictions = random_predictions(3, clips=clips, segments=1)
    probs = np.full_like(predictions.probs, 1 / len(LABELS))
    for number in classes:
        probs[predictions.truth == number] = np.eye(len(LABELS))[number] * 0.97 + 0.01
    wrong = ~np.isin(predictions.truth, list(classes))
    probs[wrong, (predictions.truth[wrong] + 1) % len(LABELS)] += 0.05
    subset = replace(predictions, probs=probs / probs.sum(axis=1, keepdims=True))
    return make_run(path, {"test": subset, "val": subset})


def test_a_member_that_alone_knows_a_class_gains_all_of_it(tmp_path: Path) -> None:
    both = ensemble([knows(tmp_path / "a", {0}), knows(tmp_path / "b", {1, 2})], out=tmp_path / "both")
    first, second = member_gains(both, config=QUICK)
    assert first.recall == (1, 0, 0)
    assert second.recall == (0, 1, 1)
    assert [gain.estimate.value for gain in first.gains] == [1, 0, 0]
    assert [gain.estimate.value for gain in second.gains] == [0, 1, 1]
    assert first.gains[0].p < 0.1 < first.gains[1].p
    assert first.gain is not None
    whole = evaluate(both, config=QUICK).clip.accuracy.value
    assert first.gain.estimate.value == pytest.approx(whole - second.accuracy)


def test_a_copy_adds_nothing(tmp_path: Path) -> None:
    runs = [knows(tmp_path / name, {0, 1}) for name in "ab"]
    for member in member_gains(ensemble(runs, out=tmp_path / "both"), config=QUICK):
        assert member.gain is not None
        assert member.gain.estimate.value == member.gain.estimate.low == member.gain.estimate.high == 0


def test_weights_stay_when_a_member_is_left_out(tmp_path: Path) -> None:
    runs = [knows(tmp_path / name, classes) for name, classes in (("a", {0}), ("b", {1}), ("c", {2}))]
    uneven = ensemble(runs, out=tmp_path / "all", weights=[1, 1, 0])
    *_, last = member_gains(uneven, config=QUICK)
    assert last.gain is not None
    assert last.gain.estimate.value == 0


def test_stacked_members_have_recall_but_no_gain(tmp_path: Path) -> None:
    runs = [knows(tmp_path / name, classes) for name, classes in (("a", {0}), ("b", {1, 2}))]
    first, _ = member_gains(ensemble(runs, out=tmp_path / "both", weights="stacked"), config=QUICK)
    assert (first.gain, first.gains) == (None, ())
    assert first.recall == (1, 0, 0)


def test_a_single_model_has_no_members(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no ensemble"):
        member_gains(make_run(tmp_path / "a"))
