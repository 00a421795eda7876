"""Pictures or features dealt to the folds of a split: what every kind of model is trained and judged on."""

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
from spectro.core.config import Config
from spectro.core.errors import DataError
from spectro.core.predictions import Predictions, Probs
from spectro.core.tables import FOLDS, Fold, Segment, Split, read_split
from spectro.data.features import FeatureStore, extract
from spectro.data.store import Store, open_store

Items = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What models eat, classes and folds."""

    path: Path
    """The data folder."""
    store: Store
    """The pictures, and with them the segments."""
    split: Split
    labels: tuple[str, ...]
    """Class names, sorted; their order is that of every model's outputs."""
    truth: Items
    """`[items]`, class of each segment."""
    folds: Mapping[Fold, Items]
    """Segments of each fold, as indices into `segments`."""
    features: FeatureStore | None = None
    """What is eaten instead of the pictures, if anything."""

    @classmethod
    def open(
        cls,
        data: Path | str,
        split: str,
        config_id: str | None = None,
        feature: str = "mel",
        feature_config: Config | None = None,
        progress: bool = False,
    ) -> TrainingData:
        """Join the pictures of `data`, or a feature that is computed if it is not there yet, to a split.

        Parameters
        ----------
        data
            folder that `render` and `split` wrote.
        split
            name of a split in `data/splits`.
        config_id
            which pictures, when `data` holds several configurations.
        feature, feature_config
            name in `FEATURES` and settings; `mel` is the pictures, whose settings are their own.
        progress
            draw a progress bar while a feature is computed.

        Raises
        ------
        DataError
            the feature cannot be computed of every clip, the split does not know some segments, its training or test
            fold is empty, or a class has no training segment.
        """
        path = Path(data)
        store, features = open_store(path, config_id), None
        if feature != "mel":
            extracted = extract(path, feature, config=feature_config, config_id=store.config_id, progress=progress)
            if extracted.failed:  # fewer clips than others hear would make models look unlike that are not
                first, table = extracted.failed[0].message, extracted.store.path / "failed.csv"
                raise DataError(
                    f"'{feature}' cannot be computed of {len(extracted.failed)} clips ({first}; all in {table}): "
                    "bring them back, or render again without them"
                )
            features = extracted.store
        segments = store.segments
        chosen = read_split(path / "splits", split)
        labels = tuple(sorted({segment.clip.label for segment in segments}))
        truth = np.array([labels.index(segment.clip.label) for segment in segments])
        fold_of = [chosen.fold_of(segment) for segment in segments]
        left_out = set(chosen.facts.get("left_out", ()))  # clips that an official split leaves out on purpose
        joined = zip(segments, fold_of, strict=True)
        unknown = [s.id for s, fold in joined if fold is None and s.clip.id not in left_out]
        if unknown:
            raise DataError(
                f"split '{split}' does not know {len(unknown)} of {len(fold_of)} segments ({unknown[0]}, ...): "
                "the data was rendered again since; split again"
            )
        folds: dict[Fold, Items] = {fold: np.flatnonzero(np.array(fold_of) == fold) for fold in FOLDS}
        for fold in ("train", "test"):
            if not len(folds[fold]):
                raise DataError(f"split '{split}' has an empty {fold} fold")
        untrained = sorted(set(labels) - {labels[k] for k in truth[folds["train"]]})
        if untrained:
            raise DataError(f"split '{split}' has no training clip of class '{untrained[0]}'; split again")
        return cls(path=path, store=store, split=chosen, labels=labels, truth=truth, folds=folds, features=features)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments, in the order of `arrays`."""
        return self.store.segments

    @property
    def shape(self) -> tuple[int, int]:
        """Bands and frames of one item, as a network sees it: a vector of features is one frame."""
        bands, *frames = self.arrays().shape[1:]
        return bands, frames[0] if frames else 1

    def arrays(self) -> NDArray[Any]:
        """Return `[items, bands, frames]`, 8-bit pictures or 32-bit features, or vectors `[items, values]`."""
        return self.features.values() if self.features else self.store.pictures()

    def digest(self) -> str:
        """Hash what `arrays` depends on."""
        return self.features.digest() if self.features else self.store.digest()

    def scale(self) -> tuple[float, float]:
        """Return mean and deviation of all numbers of the training items."""
        arrays = self.arrays()
        sums = [
            (float(row.mean(dtype=np.float64)), float(np.square(row, dtype=np.float64).mean()))
            for row in (arrays[item] for item in self.folds["train"])
        ]
        mean, square = np.mean(sums, axis=0)
        return float(mean), float(np.sqrt(max(square - mean**2, 1e-12)))

    def predictions(self, items: Items, probs: Probs) -> Predictions:
        """Return what a model said of `items` as `Predictions`; `probs` is `[items, classes]`."""
        segments = [self.segments[item] for item in items]
        return Predictions(
            ids=tuple(segment.id for segment in segments),
            clip_ids=tuple(segment.clip.id for segment in segments),
            groups=tuple(segment.clip.group for segment in segments),
            labels=self.labels,
            probs=probs,
            truth=self.truth[items],
        )

    def score(self, items: Items, probs: Probs) -> dict[str, float]:
        """Judge probabilities of `items` at segment level and, after a soft vote, at clip level, for early stopping."""
        segments = self.predictions(items, probs)
        clips = segments.pool("soft")
        return {
            "val_loss": float(log_loss(segments.truth, segments.probs, labels=range(len(self.labels)))),
            "val_segment_accuracy": float(accuracy_score(segments.truth, segments.predicted)),
            "val_clip_accuracy": float(accuracy_score(clips.truth, clips.predicted)),
            "val_clip_f1": float(f1_score(clips.truth, clips.predicted, average="macro", zero_division=0)),
        }

    def facts(self) -> dict[str, Any]:
        """Return what the card says of the data and the split."""
        clips = {segment.clip.id: segment.clip for segment in self.segments}
        made = self.features
        counts = Counter(clip.label for clip in clips.values())
        return {
            "labels": list(self.labels),
            "feature": {
                "name": made.extraction.feature if made else "mel",
                "kind": FEATURES[made.extraction.feature].kind if made else "frames",
                "config_id": made.config_id if made else self.store.config_id,
                "config": made.extraction.to_dict() if made else self.store.config.to_dict(),
            },
            "split": {
                "name": self.split.name,
                "title": self.split.title,
                "by": self.split.by,
                "sha256": self.split.sha256,
                "leaky": self.split.leaky,
                "facts": dict(self.split.facts),
                "segments": {fold: len(items) for fold, items in self.folds.items()},
            },
            "data": {
                "path": str(self.path),
                "pictures": self.store.config_id,
                "clips": len(clips),
                "segments": len(self.segments),
                "groups": len({clip.group for clip in clips.values()}),
                "labels": dict(sorted(counts.items())),
            },
        }
