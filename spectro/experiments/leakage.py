"""Leakage gap: how much a leaking split inflates the accuracy of one cheap model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from spectro.core.arrays import Floats, Floats32, Image
from spectro.core.config import Config, SplitConfig, require
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, DataError
from spectro.core.files import digest_text, read_document, write_document
from spectro.core.predictions import Predictions
from spectro.core.records import read_value
from spectro.data.splits import assign
from spectro.data.store import Store, open_store
from spectro.evaluation.metrics import accuracy
from spectro.evaluation.results import Estimate
from spectro.evaluation.statistics import BootstrapConfig, estimate
from spectro.evaluation.weights import Weights
from spectro.experiments.results import LeakageGap, SplitBy

PROTOCOLS: tuple[SplitBy, ...] = ("segment", "clip", "group")
LEAKAGE_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class LeakageGapConfig(Config):
    """How the leakage gap is measured."""

    folds: int = 5
    """Number of cross-validation folds; every segment is tested once in each protocol."""
    trees: int = 200
    """Number of trees of the random forest."""
    seed: int = 0
    """Seed of the splits and of the forest."""

    def __post_init__(self) -> None:
        require(self.folds >= 2, f"folds is {self.folds}, but must be at least 2")
        require(self.trees >= 1, f"trees is {self.trees}, but must be at least 1")


def leakage_gap(
    data: DataFolder | Path | str, *, config: LeakageGapConfig | None = None, config_id: str | None = None
) -> tuple[LeakageGap, ...]:
    """Cross-validate a random forest on simple statistics of spectrograms, split by segment, by clip and by group.

    Writes the data folder's `leakage_gap.json`, which `read_leakage` reads.

    Parameters
    ----------
    data
        Folder that `render` made.
    config
        Folds, trees and seed.
    config_id
        Which spectrograms, when `data` holds several configurations.

    Returns
    -------
    tuple of LeakageGap
        One for `segment`, `clip` and `group` each.

    Raises
    ------
    DataError
        a class has only one group, or the data holds no spectrograms.
    """
    config, data = config or LeakageGapConfig(), DataFolder.open(data)
    store = open_store(data, config_id)
    features = spectrogram_statistics(store.spectrograms())
    tested = {by: _cross_validate(store, features, by, config) for by in PROTOCOLS}
    honest, _ = tested["group"]
    gaps = tuple(
        LeakageGap(
            by=by,
            leaking_groups=leaking,
            segment_accuracy=_accuracy(predictions),
            clip_accuracy=_accuracy(predictions.pool()),
            gap=_gap(predictions, honest),
        )
        for by, (predictions, leaking) in tested.items()
    )
    values = {"gaps": [gap.to_dict() for gap in gaps], "config_id": store.config_id, "source": _source_of(store)}
    write_document(data.leakage_path, "leakage", LEAKAGE_VERSION, values)
    return gaps


def read_leakage(data: DataFolder | Path | str) -> tuple[LeakageGap, ...] | None:
    """Read what `leakage_gap` wrote into a data folder; None where it was not measured.

    Raises
    ------
    DataError
        the file is damaged, not complete, of another version, or of other spectrograms, labels or groups.
    """
    data = DataFolder.open(data)
    path = data.leakage_path
    if not path.exists():
        return None
    remedy = "remove it, or measure the gap again"
    values = read_document(path, "leakage", LEAKAGE_VERSION, remedy=remedy)
    if values.get("source") != _source_of(open_store(data, str(values.get("config_id")))):
        raise DataError(f"{path} was measured on other spectrograms, labels or groups; {remedy}")
    try:
        gaps: tuple[LeakageGap, ...] = read_value(tuple[LeakageGap, ...], values.get("gaps"), "gaps")
    except ConfigError as error:
        raise DataError(f"{path}: {error}; {remedy}") from None
    return gaps


def _source_of(store: Store) -> str:
    """Return a checksum of all that a gap depends on, but for its settings."""
    clips = [f"{segment.id}\t{segment.clip.label}\t{segment.clip.group}" for segment in store.segments]
    return digest_text(store.config_id, store.digest(), *clips)


def spectrogram_statistics(images: Image) -> Floats32:
    """Return mean, deviation and mean change of each band, `[items, 3 * bands]`, of `[items, bands, frames]`."""
    rows = []
    for image in images:  # one at a time: the images are memory-mapped and may not fit
        grey = image.astype(np.float32)
        change = np.abs(np.diff(grey, axis=1)).mean(axis=1)
        rows.append(np.concatenate([grey.mean(axis=1), grey.std(axis=1), change]))
    return np.stack(rows)


def _cross_validate(store: Store, features: Floats32, by: SplitBy, config: LeakageGapConfig) -> tuple[Predictions, int]:
    """Return out-of-fold predictions of all segments, and the mean number of leaking groups."""
    segments = {segment.id: segment for segment in store.segments}
    clips = {segment.clip.id: segment.clip for segment in store.segments}
    items = {name: segment.clip for name, segment in segments.items()} if by == "segment" else clips
    labels = tuple(sorted({clip.label for clip in clips.values()}))
    truth = np.array([labels.index(segment.clip.label) for segment in store.segments])
    probs = np.zeros((len(truth), len(labels)))
    splits = assign(items, SplitConfig(by=by, folds=config.folds, val=0.0, seed=config.seed), by)
    for split in splits:
        tested = np.array([split.subset_of(segment) == "test" for segment in store.segments])
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
    return predictions, round(sum(split.statistics.leaking_groups for split in splits) / len(splits))


def _accuracy(predictions: Predictions) -> Estimate:
    return estimate(partial(accuracy, predictions), predictions.groups, BootstrapConfig())


def _gap(leaky: Predictions, honest: Predictions) -> Estimate:
    def difference(weights: Weights) -> Floats:
        return accuracy(leaky, weights) - accuracy(honest, weights)

    return estimate(difference, honest.groups, BootstrapConfig())
