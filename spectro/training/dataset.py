"""The pictures of a store dealt to the folds of a split: what every kind of model is trained and judged on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, log_loss

from spectro.core.errors import DataError
from spectro.core.predictions import Predictions, Probs
from spectro.core.tables import FOLDS, Fold, Split, read_split
from spectro.data.store import Store, open_store

Items = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Pictures, classes and folds."""

    path: Path
    """The data folder."""
    store: Store
    split: Split
    labels: tuple[str, ...]
    """Class names, sorted; their order is that of every model's outputs."""
    truth: Items
    """`[items]`, class of each segment of the store."""
    folds: Mapping[Fold, Items]
    """Segments of each fold, as indices into the store."""

    @classmethod
    def open(cls, data: Path | str, split: str, fingerprint: str | None = None) -> Dataset:
        """Join the pictures of `data` to the named split.

        Raises
        ------
        DataError
            the split does not know some pictures, its training or test fold is empty, or a class has no training
            segment.
        """
        path = Path(data)
        store = open_store(path, fingerprint)
        chosen = read_split(path / "splits", split)
        labels = tuple(sorted({segment.clip.label for segment in store.segments}))
        truth = np.array([labels.index(segment.clip.label) for segment in store.segments])
        fold_of = [chosen.fold_of(segment) for segment in store.segments]
        left_out = set(chosen.facts.get("left_out", ()))  # clips that an official split leaves out on purpose
        joined = zip(store.segments, fold_of, strict=True)
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
        return cls(path=path, store=store, split=chosen, labels=labels, truth=truth, folds=folds)

    def predictions(self, items: Items, probs: Probs) -> Predictions:
        """Return what a model said of `items` as `Predictions`; `probs` is `[items, classes]`."""
        segments = [self.store.segments[item] for item in items]
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
        clips = {segment.clip.id: segment.clip for segment in self.store.segments}
        counts = Counter(clip.label for clip in clips.values())
        return {
            "labels": list(self.labels),
            "feature": {
                "name": "mel",
                "fingerprint": self.store.fingerprint,
                "config": self.store.config.to_dict(),
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
                "clips": len(clips),
                "segments": len(self.store.segments),
                "groups": len({clip.group for clip in clips.values()}),
                "labels": dict(sorted(counts.items())),
            },
        }
