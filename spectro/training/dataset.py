"""Spectrograms or features joined to the subsets of a split: what every kind of model is trained and scored on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, log_loss

from spectro.audio.features import FEATURES
from spectro.core.arrays import Items, Probs
from spectro.core.card import DataFacts, FeatureFacts, SplitFacts
from spectro.core.config import Config
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError
from spectro.core.predictions import Predictions
from spectro.core.tables import SUBSETS, Segment, Split, Subset
from spectro.data.features import FeatureStore, extract
from spectro.data.splits import require_classes, require_current
from spectro.data.store import Store, open_store
from spectro.training.progress import ValidationScores


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The items of a data folder (one per segment), their classes and subsets."""

    data: DataFolder
    """Where they come from."""
    store: Store
    """The spectrograms, and with them the segments."""
    split: Split
    labels: tuple[str, ...]
    """Class names, sorted; their order is that of every model's outputs."""
    truth: Items
    """`[items]`, class of each segment."""
    subsets: Mapping[Subset, Items]
    """Items of each subset, as indices into `segments`."""
    features: FeatureStore | None = None
    """The input instead of the spectrograms, if it is another."""

    @classmethod
    def open(
        cls,
        data: DataFolder | Path | str,
        split: str,
        config_id: str | None = None,
        feature: str = "mel",
        feature_config: Config | None = None,
        progress: bool = False,
    ) -> TrainingData:
        """Join the spectrograms of `data`, or a feature that is computed if it is not there yet, to a split.

        Parameters
        ----------
        data
            Folder that `render` and `split` wrote.
        split
            Name of a split in `data/splits`.
        config_id
            Which spectrograms, when `data` holds several configurations.
        feature, feature_config
            Name in `FEATURES` and settings; `mel` is the spectrograms, whose settings are their own.
        progress
            Draw a progress bar while a feature is computed.

        Raises
        ------
        DataError
            the feature cannot be computed for every clip, the split does not know some segments or names clips that
            are gone, its train or test set is empty, there is one class only, or one has no training segment.
        LeakError
            groups were edited since, so that the split puts one into two subsets.
        """
        folder = DataFolder.open(data)
        store, features, chosen = open_store(folder, config_id), None, folder.split(split)
        require_current(chosen, folder.clips, folder.path)
        if feature != "mel":
            features = _complete(folder, feature, feature_config, store.config_id, progress)
        segments = store.segments
        labels = tuple(sorted({segment.clip.label for segment in segments}))
        require_classes(labels)
        truth = np.array([labels.index(segment.clip.label) for segment in segments])
        subsets = _subsets(segments, chosen)
        untrained = sorted(set(labels) - {labels[k] for k in truth[subsets["train"]]})
        if untrained:
            raise DataError(f"split '{split}' has no training clip of class '{untrained[0]}'; split again")
        return cls(
            data=folder, store=store, split=chosen, labels=labels, truth=truth, subsets=subsets, features=features
        )

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments, in the order of `arrays`."""
        return self.store.segments

    @property
    def shape(self) -> tuple[int, int]:
        """Bands and frames of one item, as a network is fed it: a vector of features is one frame."""
        bands, *frames = self.arrays().shape[1:]
        return bands, frames[0] if frames else 1

    def arrays(self) -> NDArray[Any]:
        """Return `[items, bands, frames]`, 8-bit spectrograms or 32-bit features, or vectors `[items, values]`."""
        return self.features.values() if self.features else self.store.spectrograms()

    def digest(self) -> str:
        """Return a hash of what `arrays` depends on."""
        return self.features.digest() if self.features else self.store.digest()

    def scale(self) -> tuple[float, float]:
        """Return mean and standard deviation of all values of the training items."""
        arrays = self.arrays()
        sums = [
            (float(row.mean(dtype=np.float64)), float(np.square(row, dtype=np.float64).mean()))
            for row in (arrays[item] for item in self.subsets["train"])
        ]
        mean, square = np.mean(sums, axis=0)
        return float(mean), float(np.sqrt(max(square - mean**2, 1e-12)))

    def predictions(self, items: Items, probs: Probs) -> Predictions:
        """Return a model's probabilities of `items`, `[items, classes]`, as `Predictions` of segments."""
        segments = [self.segments[item] for item in items]
        return Predictions(
            ids=tuple(segment.id for segment in segments),
            clip_ids=tuple(segment.clip.id for segment in segments),
            groups=tuple(segment.clip.group for segment in segments),
            labels=self.labels,
            probs=probs,
            truth=self.truth[items],
        )

    def score(self, items: Items, probs: Probs) -> ValidationScores:
        """Return how good probabilities of `items` are, for segments and, after a soft vote, for clips."""
        segments = self.predictions(items, probs)
        clips = segments.pool("soft")
        return ValidationScores(
            loss=float(log_loss(segments.truth, segments.probs, labels=range(len(self.labels)))),
            segment_accuracy=float(accuracy_score(segments.truth, segments.predicted)),
            clip_accuracy=float(accuracy_score(clips.truth, clips.predicted)),
            clip_f1=float(f1_score(clips.truth, clips.predicted, average="macro", zero_division=0)),
        )

    def feature_facts(self) -> FeatureFacts:
        """Return what the card records of the input."""
        if self.features is None:
            config = self.store.config
            return FeatureFacts(name="mel", kind="frames", config_id=self.store.config_id, config=config.to_dict())
        extraction = self.features.extraction
        return FeatureFacts(
            name=extraction.feature,
            kind=FEATURES[extraction.feature].kind,
            config_id=self.features.config_id,
            config=extraction.to_dict(),
        )

    def split_facts(self) -> SplitFacts:
        """Return what the card records of the split."""
        return SplitFacts(
            name=self.split.name,
            title=self.split.title,
            by=self.split.by,
            sha256=self.split.sha256,
            leaky=self.split.leaky,
            statistics=self.split.statistics,
            segments={subset: len(items) for subset, items in self.subsets.items()},
        )

    def data_facts(self) -> DataFacts:
        """Return what the card records of the data folder."""
        clips = {segment.clip.id: segment.clip for segment in self.segments}
        return DataFacts(
            path=self.data.place,
            config_id=self.store.config_id,
            clips=len(clips),
            segments=len(self.segments),
            groups=len({clip.group for clip in clips.values()}),
            labels=dict(sorted(Counter(clip.label for clip in clips.values()).items())),
            edited=self.store.edited,
            decoders=self.store.decoders(),
        )


def _complete(data: DataFolder, feature: str, config: Config | None, config_id: str, progress: bool) -> FeatureStore:
    """Return a feature of every segment: with fewer clips than others, models could not be compared."""
    extracted = extract(data, feature, config=config, config_id=config_id, progress=progress)
    if extracted.failed:
        first, table = extracted.failed[0].message, extracted.store.path / "failed.csv"
        raise DataError(
            f"'{feature}' cannot be computed for {len(extracted.failed)} clips ({first}; all in {table}): "
            "bring them back, or render again without them"
        )
    return extracted.store


def _subsets(segments: tuple[Segment, ...], split: Split) -> dict[Subset, Items]:
    """Return the items of each subset; raises DataError when some are unknown, or training or test is empty."""
    subset_of = [split.subset_of(segment) for segment in segments]
    left_out = set(split.statistics.left_out)  # clips that an official split leaves out on purpose
    joined = zip(segments, subset_of, strict=True)
    unknown = [segment.id for segment, subset in joined if subset is None and segment.clip.id not in left_out]
    if unknown:
        raise DataError(
            f"split '{split.name}' does not know {len(unknown)} of {len(segments)} segments ({unknown[0]}, ...): "
            "the data was rendered again since; split again"
        )
    subsets: dict[Subset, Items] = {name: np.flatnonzero(np.array(subset_of) == name) for name in SUBSETS}
    for name in ("train", "test"):
        if not len(subsets[name]):
            raise DataError(f"split '{split.name}' has an empty {name} set; split again")
    return subsets
