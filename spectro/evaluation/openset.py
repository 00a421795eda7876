"""Fit and measure the answer "none of these": scores of unknown sounds, their threshold, and how well they separate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.linear_model import LogisticRegression

from spectro.core.arrays import Floats, Items, Mask, grouped_means, softmax
from spectro.core.config import require
from spectro.core.openset import KNOWN_KEPT, OpenSetFacts, ScoreName
from spectro.core.predictions import numbered
from spectro.core.records import Record
from spectro.evaluation.results import Estimate
from spectro.evaluation.statistics import BootstrapConfig, bootstrap, percentile_interval
from spectro.evaluation.weights import Weights, ratio
from spectro.inference.openset import Embedded, References, clip_scores, fit_references, segment_rows
from spectro.training.dataset import TrainingData

SCORES: tuple[ScoreName, ...] = ("msp", "energy", "knn", "mahalanobis")
"""Every score, the simplest first: of equally good ones it is taken."""
DISTANCES: tuple[ScoreName, ...] = ("knn", "mahalanobis")
STEPS = 200
"""Number of steps between the quantiles that are kept."""
MOST_LEFT_OUT = 20
"""Classes that are left out in turn to compare scores; of more, that many are drawn."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outputs:
    """What a classifier gives for the segments of some clips, and what the clips are."""

    embedded: Embedded
    clips: Items
    """`[segments]`, number of each segment's clip; every number from 0 to the largest occurs."""
    truth: Items
    """`[clips]`, class of each."""
    groups: tuple[str, ...]
    """Group of each clip."""

    @classmethod
    def of(cls, dataset: TrainingData, items: Items, embedded: Embedded) -> Outputs:
        """Return what was computed for some segments of a data set, with the clips that they belong to."""
        clips, first = numbered([dataset.segments[item].clip.id for item in items])
        groups = tuple(dataset.segments[items[item]].clip.group for item in first)
        return cls(embedded=embedded, clips=clips, truth=dataset.truth[items][first], groups=groups)

    def __len__(self) -> int:
        return len(self.truth)

    def select(self, chosen: Mask) -> Outputs:
        """Return the chosen clips only, by a mask `[clips]`."""
        kept = chosen[self.clips]
        numbers = np.cumsum(chosen) - 1
        probs, vectors, logits = self.embedded
        return replace(
            self,
            embedded=Embedded(probs[kept], vectors[kept], None if logits is None else logits[kept]),
            clips=numbers[self.clips[kept]],
            truth=self.truth[chosen],
            groups=tuple(group for group, keep in zip(self.groups, chosen.tolist(), strict=True) if keep),
        )

    def vectors(self) -> Floats:
        """Return one vector per clip."""
        return grouped_means(self.embedded.vectors, self.clips)

    def scores(self, score: ScoreName, references: References | None, neighbours: int) -> Floats:
        """Return the score of each clip."""
        rows = grouped_means(segment_rows(score, self.embedded, references), self.clips)
        return clip_scores(score, rows, references, neighbours)


@dataclass(frozen=True, kw_only=True)
class Separation(Record):
    """How well a score tells unknown clips from known ones."""

    area: Estimate
    """Area under the ROC curve, 0..1; .5 is chance."""
    false_positives: Estimate
    """Share of unknown clips that pass as known, at the threshold that 95 % of the known clips pass."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """What a run is given to tell unknown sounds."""

    facts: OpenSetFacts
    references: References | None


def available_scores(outputs: Outputs) -> tuple[ScoreName, ...]:
    """Return the scores that a classifier's outputs allow."""
    names = tuple(name for name in SCORES if name != "energy" or outputs.embedded.logits is not None)
    return names if outputs.embedded.vectors.shape[1] else tuple(name for name in names if name not in DISTANCES)


def neighbours_for(clips: int) -> int:
    """Return which nearest training clip a distance is taken to: the 50 of Sun et al. are for large training sets."""
    return max(1, min(50, clips // 1000))


def fit(train: Outputs, known: Outputs, *, score: ScoreName | None = None) -> Fitted:
    """Choose a score by evidence on validation, and its threshold so that 95 % of the known validation clips pass.

    The evidence leaves each class out in turn: a linear head is fitted to the features of the other training clips, and
    the area under the ROC curve tells how well validation clips of that class are then separated from the others.
    Fine-tuned features have still seen the class; `spectro bench openset` measures scores on classes that were not.

    Parameters
    ----------
    train, known
        Outputs for the training clips and for the validation clips, without those of classes such as noise, which
        stand for "none of these".
    score
        The score; the one with the most evidence if not given.

    Raises
    ------
    ConfigError
        there are too few validation clips, or the classifier does not give what the score needs.
    """
    require(len(known) >= 2, f"a threshold needs validation clips, but there are {len(known)}; split with more")
    names = available_scores(known)
    require(score is None or score in names, f"this model gives no '{score}' (have: {', '.join(names)})")
    neighbours = neighbours_for(len(train))
    evidence = evidence_for(names, train, known, neighbours) if len(names) > 1 else dict.fromkeys(names, 0.5)
    best = max(names, key=lambda name: (round(evidence[name], 3), -SCORES.index(name)))
    chosen = best if score is None else score
    references = fit_references(chosen, train.vectors(), train.truth) if chosen in DISTANCES else None
    values = known.scores(chosen, references, neighbours)
    quantiles = np.quantile(values, np.linspace(0, 1, STEPS + 1))
    facts = OpenSetFacts(
        score=chosen,
        neighbours=neighbours if chosen == "knn" else 1,
        quantiles=tuple(quantiles.tolist()),
        threshold=float(np.quantile(values, KNOWN_KEPT)),
        clips=len(known),
        evidence={str(name): area for name, area in evidence.items()},
        file=f"openset-{chosen}.npz" if references else "",
    )
    return Fitted(facts=facts, references=references)


def evidence_for(names: Sequence[ScoreName], train: Outputs, val: Outputs, neighbours: int) -> dict[ScoreName, float]:
    """Return for each score the mean area under the ROC curve with each class left out in turn, 0..1.

    Parameters
    ----------
    names
        The scores.
    train, val
        Outputs for the training clips and for the validation clips of known classes; only their features are used.
    neighbours
        Which nearest training clip the distance of `knn` is taken to.
    """
    labels = np.unique(val.truth)
    if len(labels) > MOST_LEFT_OUT:
        labels = np.random.default_rng(0).choice(labels, MOST_LEFT_OUT, replace=False)
    areas: dict[ScoreName, list[float]] = {name: [] for name in names}
    for label in labels.tolist():
        others = train.select(train.truth != label)
        if len(np.unique(others.truth)) < 2 or not (val.truth != label).any():
            continue
        head = LinearHead.fit(others)
        checked = head.outputs(val)
        for name in names:
            references = fit_references(name, others.vectors(), others.truth) if name in DISTANCES else None
            scores = checked.scores(name, references, neighbours)
            areas[name].append(float(roc_area(scores, val.truth == label, Weights.ones(len(val)))[0]))
    return {name: float(np.mean(own)) if own else 0.5 for name, own in areas.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearHead:
    """Logistic regression on the principal components of clips' features: a quick head without one class."""

    references: References
    """Their projection."""
    model: LogisticRegression

    @classmethod
    def fit(cls, train: Outputs) -> LinearHead:
        """Fit it to training clips."""
        vectors = train.vectors()
        space = fit_references("knn", vectors, train.truth)
        model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000)
        return cls(references=space, model=model.fit(space.project(vectors), train.truth))

    def outputs(self, clips: Outputs) -> Outputs:
        """Return its outputs for clips, one segment each."""
        vectors = np.asarray(clips.vectors(), np.float32)
        logits = np.asarray(self.model.decision_function(self.references.project(vectors)))
        if logits.ndim == 1:  # of two classes
            logits = np.stack([-logits / 2, logits / 2], axis=1)
        return replace(clips, embedded=Embedded(softmax(logits), vectors, logits), clips=np.arange(len(clips)))


def separation(
    parts: Sequence[tuple[Floats, Mask, Sequence[str]]], config: BootstrapConfig | None = None
) -> Separation:
    """Return how well scores separate, as the mean over several tests, with intervals from a bootstrap over groups.

    Parameters
    ----------
    parts
        Of each test (a class left out) the scores `[clips]`, which clips are unknown, and the group of each clip.
    config
        How intervals are drawn; the groups of all tests are drawn together.
    """
    config = config or BootstrapConfig()
    groups = [group for _, _, names in parts for group in names]
    ends = np.cumsum([len(names) for _, _, names in parts])

    def statistic(weights: Weights) -> Floats:
        """Return `[repeats, 2]`."""
        values = []
        for end, (scores, unknown, names) in zip(ends, parts, strict=True):
            own = weights.select(np.arange(end - len(names), end))
            values.append(np.stack([roc_area(scores, unknown, own), passing(scores, unknown, own)], axis=1))
        means: Floats = np.nanmean(np.stack(values), axis=0)
        return means

    single = np.array([statistic_of(scores, unknown) for scores, unknown, _ in parts]).mean(axis=0)
    samples = bootstrap(statistic, groups, config)
    estimates = [
        Estimate(value=float(value), low=low, high=high)
        for value, (low, high) in zip(
            single, (percentile_interval(samples[:, n], config.level) for n in (0, 1)), strict=True
        )
    ]
    return Separation(area=estimates[0], false_positives=estimates[1])


def statistic_of(scores: Floats, unknown: Mask) -> tuple[float, float]:
    """Return the area under the ROC curve and the false-positive rate of one test."""
    ones = Weights.ones(len(scores))
    return float(roc_area(scores, unknown, ones)[0]), float(passing(scores, unknown, ones)[0])


def roc_area(scores: Floats, unknown: Mask, weights: Weights) -> Floats:
    """Return the area under the ROC curve in each resample, `[repeats]`: how often an unknown clip scores higher."""
    known_below, unknown_at, known_at = _cumulated(scores, unknown, weights)
    wins = (unknown_at * (known_below - known_at / 2)).sum(axis=1)
    total = known_at.sum(axis=1) * unknown_at.sum(axis=1)
    return ratio(wins, total)


def passing(scores: Floats, unknown: Mask, weights: Weights, kept: float = KNOWN_KEPT) -> Floats:
    """Return the share of unknown clips that pass where `kept` of the known ones do, `[repeats]` (FPR at 95 % TPR)."""
    known_below, unknown_at, known_at = _cumulated(scores, unknown, weights)
    enough = known_below >= kept * known_at.sum(axis=1, keepdims=True) - 1e-9
    place = enough.argmax(axis=1)
    below = np.cumsum(unknown_at, axis=1)[np.arange(len(place)), place]
    total = unknown_at.sum(axis=1)
    return ratio(below, total)


def _cumulated(scores: Floats, unknown: Mask, weights: Weights) -> tuple[Floats, Floats, Floats]:
    """Return for each score from the lowest: known weight up to it, unknown at it, known at it, `[repeats, scores]`."""
    levels, place = np.unique(scores, return_inverse=True)
    unknown_at = weights.select(unknown).counts(place[unknown], len(levels))
    known_at = weights.select(~unknown).counts(place[~unknown], len(levels))
    return np.cumsum(known_at, axis=1), unknown_at, known_at
