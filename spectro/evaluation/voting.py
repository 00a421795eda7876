"""Vote rules compared, and accuracy by the number of segments that vote."""

from __future__ import annotations

from functools import partial

import numpy as np

from spectro.core.arrays import Items
from spectro.core.predictions import VOTES, Predictions, numbered, pool_probs
from spectro.evaluation.metrics import METRICS
from spectro.evaluation.results import SegmentsUsed, VoteScores
from spectro.evaluation.statistics import BootstrapConfig, estimate

COMPARED = ("accuracy", "macro_f1", "log_loss")
"""Metrics by which rules are compared."""


def compare_votes(predictions: Predictions, config: BootstrapConfig | None = None) -> dict[str, VoteScores]:
    """Return the metrics of clips under each rule of `VOTES`, with intervals.

    Give validation predictions: the accuracy of a rule that was chosen on test would be optimistic.
    """
    scores = {}
    for rule in VOTES:
        clips = predictions.pool(rule)
        metrics = {name: estimate(partial(METRICS[name], clips), clips.groups, config) for name in COMPARED}
        scores[rule] = VoteScores(**metrics)
    return scores


def accuracy_by_segments(
    predictions: Predictions, vote: str = "soft", *, repeats: int = 20, seed: int = 0
) -> tuple[SegmentsUsed, ...]:
    """Return how the accuracy of clips grows with the number of segments that vote.

    Parameters
    ----------
    predictions
        Predictions of segments. Clips with fewer segments than asked for are used whole; the last number is the median
        over clips.
    vote
        Rule by which segments decide (one of `VOTES`).
    repeats
        How often segments are drawn at random, per number.
    seed
        Seed of drawing.
    """
    rng = np.random.default_rng(seed)
    clips, first = numbered(predictions.clip_ids)
    truth = predictions.truth[first]
    curve = []
    for segments in range(1, int(np.median(np.bincount(clips))) + 1):
        accuracies = []
        for _ in range(repeats):
            order = rng.permutation(len(clips))
            chosen = np.sort(order[_rank_within(clips[order]) < segments])
            probs = pool_probs(predictions.probs[chosen], clips[chosen], vote)
            accuracies.append((probs.argmax(axis=1) == truth).mean())
        curve.append(SegmentsUsed(segments=segments, accuracy=float(np.mean(accuracies))))
    return tuple(curve)


def _rank_within(clips: Items) -> Items:
    """Return how many items of the same clip stand before each one."""
    order = np.argsort(clips, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(clips[order]) != 0])
    ranks = np.empty(len(clips), dtype=np.int64)
    ranks[order] = np.arange(len(clips)) - np.repeat(starts, np.diff(np.r_[starts, len(clips)]))
    return ranks
