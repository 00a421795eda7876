"""Voting: all segments give the accuracy of clips, and more of them help."""

from __future__ import annotations

import numpy as np
import pytest

from spectro.core.predictions import VOTES, Predictions
from spectro.evaluation.statistics import BootstrapConfig
from spectro.evaluation.voting import accuracy_by_segments, compare_votes


def test_more_segments_help_and_all_give_the_clip_accuracy() -> None:
    rng = np.random.default_rng(0)
    truth = (np.arange(100) % 4).repeat(4)
    ids = tuple(map(str, range(400)))
    clips = tuple(f"clip{i // 4}" for i in range(400))
    probs = rng.dirichlet(np.ones(4), size=400) * 0.7 + 0.3 * np.eye(4)[truth]
    predictions = Predictions(ids=ids, clip_ids=clips, groups=clips, labels=tuple("abcd"), probs=probs, truth=truth)
    curve = accuracy_by_segments(predictions)
    pooled = predictions.pool()
    assert [point.segments for point in curve] == [1, 2, 3, 4]
    assert curve[-1].accuracy == pytest.approx((pooled.predicted == pooled.truth).mean())
    assert curve[0].accuracy < curve[-1].accuracy
    votes = compare_votes(predictions, BootstrapConfig(repeats=200))
    assert set(votes) == set(VOTES)
    assert votes["soft"].accuracy.value == pytest.approx(curve[-1].accuracy)
