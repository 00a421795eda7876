"""The leak gap: how much better one cheap model looks when pieces of a song, or of its album, stand on both sides."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from spectro.core.config import Config, SplitConfig, require
from spectro.core.predictions import Predictions
from spectro.core.tables import write_text
from spectro.data.splits import assign
from spectro.data.store import Store, open_store
from spectro.evaluation.metrics import Weights, accuracy
from spectro.evaluation.statistics import BootstrapConfig, Estimate, estimate

PROTOCOLS: tuple[Literal["segment", "clip", "group"], ...] = ("segment", "clip", "group")


@dataclass(frozen=True, kw_only=True)
class LeakageGapConfig(Config):
    """How the leak gap is measured."""

    folds: int = 5
    """Number of cross-validation folds; every segment is tested once in each protocol."""
    trees: int = 200
    """Number of trees of the random forest."""
    seed: int = 0
    """Seed of the splits and of the forest."""

    def __post_init__(self) -> None:
        require(self.folds >= 2, f"folds is {self.folds}, but must be at least 2")
        require(self.trees >= 1, f"trees is {self.trees}, but must be at least 1")


@dataclass(frozen=True, kw_only=True)
class LeakageGap:
    """What one way of splitting makes of the same model and the same pictures."""

    by: Literal["segment", "clip", "group"]
    """What stays whole; `segment` and `clip` leak wherever a group has several clips."""
    leaking_groups: int
    """Number of groups on two sides, on average over the folds."""
    segment_accuracy: Estimate
    """Share of segments recognized, with a 95 % interval from a bootstrap over groups."""
    clip_accuracy: Estimate
    """Share of clips recognized by soft vote of their segments."""
    gap: Estimate
    """Segment accuracy minus that of the split by group: what leaking pretends, paired over the same segments."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        figures = {name: getattr(self, name).to_dict() for name in ("segment_accuracy", "clip_accuracy", "gap")}
        return {"leaking_groups": self.leaking_groups, **figures}


def leakage_gap(
    data: Path | str, *, config: LeakageGapConfig | None = None, config_id: str | None = None
) -> tuple[LeakageGap, ...]:
    """Cross-validate a random forest on simple statistics of the pictures, split by segment, by clip and by group.

    Writes `leakage_gap.json` into the folder, from which a report takes it.

    Parameters
    ----------
    data
        Folder that `render` made.
    config_id
        Which configuration, if there are several.

    Returns
    -------
    tuple of LeakageGap
        One for `segment`, `clip` and `group` each.

    Raises
    ------
    DataError
        a class has only one group, or the data holds no pictures.
    """
    config = config or LeakageGapConfig()
    store = open_store(data, config_id)
    features = picture_statistics(store.pictures())
    told = {by: _cross_validated(store, features, by, config) for by in PROTOCOLS}
    honest = told["group"][0]
    found = tuple(
        LeakageGap(
            by=by,
            leaking_groups=leaking,
            segment_accuracy=_accuracy(predictions),
            clip_accuracy=_accuracy(predictions.pool()),
            gap=_gap(predictions, honest),
        )
        for by, (predictions, leaking) in told.items()
    )
    figures = {one.by: one.to_dict() for one in found}
    write_text(Path(data) / "leakage_gap.json", json.dumps(figures, indent=2, allow_nan=False) + "\n")
    return found


def picture_statistics(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return mean, deviation and mean change of each band, `[items, 3 * bands]`, of `[items, bands, frames]`."""
    rows = []
    for picture in pictures:  # one at a time: the pictures are memory-mapped and may not fit
        grey = picture.astype(np.float32)
        change = np.abs(np.diff(grey, axis=1)).mean(axis=1)
        rows.append(np.concatenate([grey.mean(axis=1), grey.std(axis=1), change]))
    return np.stack(rows)


def _cross_validated(
    store: Store, features: NDArray[np.float32], by: Literal["segment", "clip", "group"], config: LeakageGapConfig
) -> tuple[Predictions, int]:
    """Return out-of-fold predictions of all segments, and the mean number of groups on two sides."""
    segments = {segment.id: segment for segment in store.segments}
    clips = {segment.clip.id: segment.clip for segment in store.segments}
    items = {name: segment.clip for name, segment in segments.items()} if by == "segment" else clips
    labels = tuple(sorted({clip.label for clip in clips.values()}))
    truth = np.array([labels.index(segment.clip.label) for segment in store.segments])
    probs = np.zeros((len(truth), len(labels)))
    splits = assign(items, SplitConfig(by=by, folds=config.folds, val=0.0, seed=config.seed), by)
    for split in splits:
        tested = np.array([split.fold_of(segment) == "test" for segment in store.segments])
        forest = RandomForestClassifier(config.trees, random_state=config.seed, n_jobs=-1)
        forest.fit(features[~tested], truth[~tested])
        if tested.any():
            probs[np.ix_(tested, forest.classes_)] = forest.predict_proba(features[tested])
    predictions = Predictions(
        ids=tuple(segments),
        clip_ids=tuple(segment.clip.id for segment in store.segments),
        groups=tuple(segment.clip.group for segment in store.segments),
        labels=labels,
        probs=probs,
        truth=truth,
    )
    return predictions, round(sum(split.facts["leaking_groups"] for split in splits) / len(splits))


def _accuracy(predictions: Predictions) -> Estimate:
    return estimate(partial(accuracy, predictions), predictions.groups, BootstrapConfig())


def _gap(leaky: Predictions, honest: Predictions) -> Estimate:
    def difference(weights: Weights) -> NDArray[np.float64]:
        return accuracy(leaky, weights) - accuracy(honest, weights)

    return estimate(difference, honest.groups, BootstrapConfig())
