"""Class probabilities per segment or clip, with labels, groups and ground truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spectro.core.arrays import Items, Mask, Probs
from spectro.core.errors import DataError
from spectro.core.files import read_csv, replacing, write_csv
from spectro.core.npz import read_npz
from spectro.core.registry import Registry

ARRAYS = {
    "ids": ("U", 1), "clip_ids": ("U", 1), "groups": ("U", 1), "labels": ("U", 1), "probs": ("f", 2), "truth": ("iu", 1)
}  # fmt: skip
"""Type and dimensions of each array of an `.npz` of predictions."""
REMEDY = "make the predictions again"

Vote = Callable[[Probs], Probs]

VOTES: Registry[Vote] = Registry("vote rule")
"""Rules that turn the probabilities of the segments of clips, `[..., segments, classes]`, into those of the clips,
`[..., classes]`."""


@VOTES.add("soft")
def soft(probs: Probs) -> Probs:
    """Arithmetic mean of the probabilities."""
    mean: Probs = probs.mean(axis=-2)
    return mean


@VOTES.add("hard")
def hard(probs: Probs) -> Probs:
    """Share of segments that voted for each class."""
    votes = np.eye(probs.shape[-1])[probs.argmax(axis=-1)]
    share: Probs = votes.sum(axis=-2) / probs.shape[-2]
    return share


@VOTES.add("log-mean")
def log_mean(probs: Probs) -> Probs:
    """Geometric mean, normalized: one confident "no" weighs heavily."""
    log = np.log(np.clip(probs, 1e-12, None)).mean(axis=-2)
    odds = np.exp(log - log.max(axis=-1, keepdims=True))
    pooled: Probs = odds / odds.sum(axis=-1, keepdims=True)
    return pooled


@VOTES.add("median")
def median(probs: Probs) -> Probs:
    """Median of each class, normalized."""
    middle = np.median(probs, axis=-2) + 1e-12
    pooled: Probs = middle / middle.sum(axis=-1, keepdims=True)
    return pooled


@VOTES.add("confident")
def confident(probs: Probs) -> Probs:
    """Mean weighted by each segment's highest probability."""
    weights = np.broadcast_to(probs.max(axis=-1, keepdims=True), probs.shape)
    weighted: Probs = (probs * weights).sum(axis=-2) / weights.sum(axis=-2)
    return weighted


def pool_probs(probs: Probs, clips: Items, vote: str = "soft") -> Probs:
    """Let the segments of each clip vote.

    Parameters
    ----------
    probs
        `[segments, classes]`.
    clips
        `[segments]`, number of each one's clip; every number from 0 to the largest occurs.
    vote
        Name of a rule in `VOTES`.

    Returns
    -------
    Probs
        `[clips, classes]`.
    """
    rule, order, counts = VOTES[vote], np.argsort(clips, kind="stable"), np.bincount(clips)
    starts = np.cumsum(counts) - counts
    pooled = np.empty((len(counts), probs.shape[1]))
    for count in np.unique(counts).tolist():  # clips of equally many segments vote at once
        alike = np.flatnonzero(counts == count)
        pooled[alike] = rule(probs[order[starts[alike, None] + np.arange(count)]])
    return pooled


def numbered(names: Sequence[str]) -> tuple[Items, Items]:
    """Return the number of each name, counted by first appearance, and where each number first stands."""
    numbers: dict[str, int] = {}
    codes = np.fromiter((numbers.setdefault(name, len(numbers)) for name in names), dtype=np.int64, count=len(names))
    return codes, np.unique(codes, return_index=True)[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Probabilities of `items` (segments or clips) over `classes`, with what is needed to pool and to evaluate them."""

    ids: tuple[str, ...]
    """Id of each item: a segment's, or after `pool` a clip's."""
    clip_ids: tuple[str, ...]
    """Clip of each item."""
    groups: tuple[str, ...]
    """Group of each item (what a bootstrap must resample)."""
    labels: tuple[str, ...]
    """Class names, in the order of the columns of `probs`."""
    probs: Probs
    """`[items, classes]`, every row non-negative and summing to 1."""
    truth: Items
    """`[items]`, index of the true class, -1 where it is not known."""

    def __post_init__(self) -> None:
        items, classes = len(self.ids), len(self.labels)
        probs = np.asarray(self.probs, dtype=np.float64)
        object.__setattr__(self, "probs", probs)
        object.__setattr__(self, "truth", np.asarray(self.truth, dtype=np.int64))
        if probs.shape != (items, classes):
            raise DataError(f"probs has shape {probs.shape}, but {items} items and {classes} labels were given")
        if not (len(self.clip_ids) == len(self.groups) == len(self.truth) == items):
            raise DataError("ids, clip_ids, groups, probs and truth must have equal lengths")
        if len(set(self.ids)) != items:
            raise DataError("two predictions have the same id")
        if len(set(self.labels)) != classes:
            raise DataError("two labels have the same name")
        if not np.isfinite(probs).all() or (probs < 0).any():
            raise DataError("probabilities must be finite and not negative; did you pass logits?")
        if items and not np.allclose(probs.sum(axis=1), 1, atol=1e-3):
            raise DataError("the probabilities of each item must sum to 1; did you pass logits or per-class scores?")
        if items and (self.truth.min() < -1 or self.truth.max() >= classes):
            raise DataError(f"truth must be -1 or an index below {classes}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def predicted(self) -> Items:
        """`[items]`, index of the most probable class."""
        best: Items = self.probs.argmax(axis=1)
        return best

    def pool(self, vote: str = "soft") -> Predictions:
        """Return one prediction per clip, in order of first appearance, by the named rule of `VOTES`.

        Raises
        ------
        ConfigError
            there is no such rule.
        DataError
            the items of a clip differ in their true class or their group.
        """
        clips, first = self._clips()
        ids = tuple(self.clip_ids[item] for item in first)
        return replace(
            self,
            ids=ids,
            clip_ids=ids,
            groups=tuple(self.groups[item] for item in first),
            probs=pool_probs(self.probs, clips, vote),
            truth=self.truth[first],
        )

    def _clips(self) -> tuple[Items, Items]:
        """Return the number of each item's clip, and each clip's first item.

        Raises
        ------
        DataError
            the items of a clip differ in their true class or their group.
        """
        clips, first = numbered(self.clip_ids)
        groups, truth = numbered(self.groups)[0], self.truth
        for values, wrong, same in ((groups, "is in two groups", "group"), (truth, "has two true classes", "class")):
            differing = np.flatnonzero(values != values[first][clips])
            if len(differing):
                item = int(differing[0])
                pair = [self._named(other, same) for other in (int(first[clips[item]]), item)]
                raise DataError(
                    f"clip '{self.clip_ids[item]}' {wrong}, {' and '.join(pair)}; give all its items the same {same}"
                )
        return clips, first

    def _named(self, item: int, what: str) -> str:
        """Return the group or the true class of an item in quotes."""
        if what == "group":
            return f"'{self.groups[item]}'"
        return f"'{self.labels[self.truth[item]]}'" if self.truth[item] >= 0 else "none"

    def select(self, items: Sequence[int] | Items | Mask) -> Predictions:
        """Return the given items only, by index or mask."""
        chosen = np.arange(len(self))[np.asarray(items) if len(items) else slice(0)]
        return replace(
            self,
            ids=tuple(self.ids[i] for i in chosen),
            clip_ids=tuple(self.clip_ids[i] for i in chosen),
            groups=tuple(self.groups[i] for i in chosen),
            probs=self.probs[chosen],
            truth=self.truth[chosen],
        )

    @classmethod
    def join(cls, parts: Sequence[Predictions]) -> Predictions:
        """Return all items of `parts`, say of the test folds of a cross-validation, each clip predicted once.

        Raises
        ------
        DataError
            the labels differ, or an item is in two parts.
        """
        if len({part.labels for part in parts}) != 1:
            raise DataError("only predictions with the same labels, in the same order, can be joined")
        return cls(
            ids=tuple(item for part in parts for item in part.ids),
            clip_ids=tuple(clip for part in parts for clip in part.clip_ids),
            groups=tuple(group for part in parts for group in part.groups),
            labels=parts[0].labels,
            probs=np.concatenate([part.probs for part in parts]),
            truth=np.concatenate([part.truth for part in parts]),
        )

    def save(self, path: Path) -> None:
        """Write `.npz` (exact) or `.csv` (id, clip, group, truth, then one column per label)."""
        if path.suffix == ".npz":
            texts = {"ids": self.ids, "clip_ids": self.clip_ids, "groups": self.groups, "labels": self.labels}
            arrays = {name: np.array(values, dtype=np.str_) for name, values in texts.items()}
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, probs=self.probs, truth=self.truth, **arrays)  # type: ignore[arg-type]
            return
        names = [self.labels[truth] if truth >= 0 else "" for truth in self.truth]
        facts = zip(self.ids, self.clip_ids, self.groups, names, strict=True)
        rows = ([*row, *(f"{p:.6f}" for p in probs)] for row, probs in zip(facts, self.probs, strict=True))
        write_csv(path, ["id", "clip", "group", "truth", *self.labels], rows)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote, or a CSV of any other program with the columns id, truth and one per label.

        `clip` defaults to the id and `group` to the clip.

        Raises
        ------
        DataError
            the file is missing or malformed, or the items of a clip differ in their true class or their group.
        """
        if path.suffix == ".npz":
            arrays = read_npz(path, ARRAYS, what="a file of predictions", remedy=REMEDY)
            texts = {name: tuple(arrays[name].tolist()) for name in ("ids", "clip_ids", "groups", "labels")}
            try:
                return cls(probs=arrays["probs"], truth=arrays["truth"], **texts)
            except DataError as error:
                raise DataError(f"{path} is damaged: {error}; {REMEDY}") from None
        rows = read_csv(path, ("id", "truth"))
        known = ("id", "clip", "group", "truth")
        labels = tuple(name for name in (rows[0] if rows else {}) if name not in known)
        if not labels:
            raise DataError(f"{path} has no predictions; it needs rows, and a column per label beside id and truth")
        index = {label: number for number, label in enumerate(labels)} | {"": -1}
        unknown = next((row["truth"] for row in rows if row["truth"] not in index), None)
        if unknown is not None:
            raise DataError(f"{path}: truth '{unknown}' is not one of the label columns ({', '.join(labels)})")
        clips = [row.get("clip") or row["id"] for row in rows]
        try:
            probs = np.array([[float(row[label]) for label in labels] for row in rows])
        except ValueError as error:
            raise DataError(f"{path} holds a probability that is not a number: {error}") from None
        try:
            predictions = cls(
                ids=tuple(row["id"] for row in rows),
                clip_ids=tuple(clips),
                groups=tuple(row.get("group") or clip for row, clip in zip(rows, clips, strict=True)),
                labels=labels,
                probs=probs,
                truth=np.array([index[row["truth"]] for row in rows]),
            )
            predictions._clips()
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        return predictions
