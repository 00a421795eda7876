"""Tell sounds of no known class by a score of how unusual a recording is, fitted on a run's validation clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Floats, Floats32, Items, Probs
from spectro.core.card import Card
from spectro.core.errors import DataError, RunError
from spectro.core.files import replacing
from spectro.core.npz import read_npz
from spectro.core.openset import OpenSetFacts, ScoreName
from spectro.core.runs import Run

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from spectro.inference.classifier import Classifier

MOST_VALUES = 128
"""Principal components that distances are taken in."""
MOST_REFERENCES = 4096
"""Training clips that are kept: Sun et al. find that a small share of them serves as well."""
SHRINKAGE = 0.1
"""Share of the mean variance in the covariance within classes, which few clips determine badly."""
ARRAYS = {"mean": ("f", 1), "projection": ("f", 2), "references": ("f", 2)}
REMEDY = "run `spectro openset` on the run again"


class Embedded(NamedTuple):
    """What a classifier makes of items on its way to their probabilities."""

    probs: Probs
    """`[items, classes]`"""
    vectors: Floats32
    """`[items, values]`, what its last layers read."""
    logits: Floats32 | None
    """`[items, classes]`; None for a classifier that has none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class References:
    """Training clips, or the means of classes, in a space in which distances mean something."""

    mean: Floats32
    """`[values]`, subtracted from a vector."""
    projection: Floats32
    """`[values, components]`, applied after that."""
    references: Floats32
    """`[references, components]`"""

    def project(self, vectors: Floats32 | Floats) -> Floats32:
        """Return `[items, components]` of `[items, values]`."""
        return np.asarray((np.asarray(vectors, np.float32) - self.mean) @ self.projection, np.float32)

    def save(self, run: Run, name: str) -> None:
        """Write them into a run's folder."""
        with replacing(run.path / name) as temporary, temporary.open("wb") as file:
            np.savez(file, mean=self.mean, projection=self.projection, references=self.references)

    @classmethod
    def load(cls, run: Run, name: str) -> References:
        """Read what `save` wrote; raises RunError where the file is missing, damaged or of another shape."""
        path = run.checked(run.path / name)
        try:
            arrays = read_npz(path, ARRAYS, what="a file of references", remedy=REMEDY)
        except DataError as error:
            raise RunError(str(error)) from None
        found = cls(**{key: np.asarray(value, np.float32) for key, value in arrays.items()})
        if found.projection.shape != (len(found.mean), found.references.shape[1]) or not len(found.references):
            raise RunError(f"{path} holds arrays that do not fit each other; {REMEDY}")
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenSet:
    """A score of how unusual a recording is; the higher, the less it is like any class.

    Notes
    -----
    The scores are: `msp`, 1 less the top probability [Hendrycks and Gimpel, 2017]; `energy`, the negative log of the
    summed exponentials of the logits [Liu et al., 2020]; `knn`, the distance to the k-th nearest training clip in
    normalized features [Sun et al., 2022]; `mahalanobis`, the distance to the nearest class mean in features whitened
    within classes [Lee et al., 2018].
    """

    facts: OpenSetFacts
    references: References | None = None

    @classmethod
    def load(cls, run: Run) -> OpenSet | None:
        """Return what a run's card describes; None where it describes nothing."""
        facts = run.card.openset
        if facts is None:
            return None
        return cls(facts=facts, references=References.load(run, facts.file) if facts.file else None)

    @classmethod
    def of_probabilities(cls, card: Card) -> OpenSet | None:
        """Return what an exported model's card describes, if it looks at probabilities only; else None."""
        return cls(facts=card.openset) if card.openset is not None and card.openset.score == "msp" else None

    @property
    def needs_features(self) -> bool:
        """Whether probabilities alone do not suffice."""
        return self.facts.score != "msp"

    def rows(self, embedded: Embedded) -> Floats32:
        """Return what is kept of each segment, `[items, n]`, to be averaged over a recording."""
        return segment_rows(self.facts.score, embedded, self.references)

    def score(self, rows: Floats32 | Probs) -> float:
        """Return the score of a recording from the rows of its segments, `[segments, n]`."""
        mean = np.asarray(rows, np.float64).mean(axis=0)[None]
        return float(clip_scores(self.facts.score, mean, self.references, self.facts.neighbours)[0])

    def novelty(self, score: float) -> float:
        """Return the share of validation clips of known classes that score lower, 0..1."""
        quantiles = self.facts.quantiles
        return float(np.interp(score, quantiles, np.linspace(0, 1, len(quantiles))))


@dataclass(frozen=True)
class ScoredClassifier:
    """A classifier whose rows go on, behind the probabilities, with what a score keeps of each segment."""

    classifier: Classifier
    openset: OpenSet

    @property
    def batch_size(self) -> int:
        """Number of items in one call that is fastest."""
        return self.classifier.batch_size

    @property
    def lanes(self) -> Executor | None:
        """Threads that call it side by side."""
        return self.classifier.lanes

    def predict_proba(self, arrays: NDArray[Any]) -> Probs:
        """Return `[items, classes + n]`: probabilities, then what the score keeps."""
        embedded = cast(Embedded, self.classifier.predict_embedded(arrays))  # type: ignore[attr-defined]
        return np.concatenate([embedded.probs, self.openset.rows(embedded)], axis=1)


def segment_rows(score: ScoreName, embedded: Embedded, references: References | None) -> Floats32:
    """Return what a score keeps of each segment, `[items, n]`.

    Raises
    ------
    RunError
        the classifier does not give what the score needs, or vectors of another length.
    """
    if score == "msp":
        return np.asarray(embedded.probs, np.float32)
    if score == "energy":
        if embedded.logits is None:
            raise RunError(f"the energy needs logits, which this classifier does not give; {REMEDY}")
        logits = np.asarray(embedded.logits, np.float64)
        top = logits.max(axis=1, keepdims=True)
        return np.asarray(top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True)), np.float32)
    assert references is not None
    if embedded.vectors.shape[1] != len(references.mean):
        raise RunError(
            f"features have {embedded.vectors.shape[1]} values, but the references {len(references.mean)}; {REMEDY}"
        )
    return references.project(embedded.vectors)


def clip_scores(score: ScoreName, rows: Floats, references: References | None, neighbours: int) -> Floats:
    """Return the scores `[clips]` of clips from the means of their segments' rows `[clips, n]`."""
    if score == "msp":
        return np.asarray(1 - np.asarray(rows, np.float64).max(axis=1))
    if score == "energy":
        return -np.asarray(rows, np.float64)[:, 0]
    assert references is not None
    values = normalized(rows) if score == "knn" else np.asarray(rows, np.float64)
    return kth_distance(values, np.asarray(references.references, np.float64), neighbours if score == "knn" else 1)


def normalized(rows: Floats | Floats32) -> Floats:
    """Return rows of length 1; a row of zeros stays one."""
    values = np.asarray(rows, np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1)


def kth_distance(values: Floats, references: Floats, neighbours: int) -> Floats:
    """Return the Euclidean distance `[items]` of each row to its k-th nearest reference, block by block."""
    place = min(neighbours, len(references)) - 1
    blocks = []
    for begin in range(0, len(values), 512):
        block = values[begin : begin + 512]
        squares = (block**2).sum(axis=1)[:, None] + (references**2).sum(axis=1) - 2 * block @ references.T
        blocks.append(np.sqrt(np.maximum(np.partition(squares, place, axis=1)[:, place], 0)))
    return np.concatenate(blocks) if blocks else np.empty(0)


def fit_references(score: ScoreName, vectors: Floats32 | Floats, truth: Items) -> References:
    """Return the references of a distance.

    Parameters
    ----------
    score
        `knn` or `mahalanobis`.
    vectors
        `[clips, values]` of training clips.
    truth
        `[clips]`, their classes.
    """
    values = np.asarray(vectors, np.float64)
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    scale = np.where(deviation > 1e-6 * (np.abs(mean) + 1e-6), 1 / np.maximum(deviation, 1e-12), 0.0)
    directions = np.linalg.svd((values - mean) * scale, full_matrices=False)[2][:MOST_VALUES].T
    projection = scale[:, None] * directions
    rows = (values - mean) @ projection
    if score == "knn":
        chosen = np.linspace(0, len(rows) - 1, min(len(rows), MOST_REFERENCES)).astype(int)
        found = normalized(rows[chosen])
    else:
        whitening = _whitening(rows, truth)
        projection, rows = projection @ whitening, rows @ whitening
        found = np.stack([rows[truth == label].mean(axis=0) for label in np.unique(truth)])
    return References(
        mean=mean.astype(np.float32), projection=projection.astype(np.float32), references=found.astype(np.float32)
    )


def _whitening(rows: Floats, truth: Items) -> Floats:
    """Return the matrix `[components, components]` after which classes vary alike in all directions."""
    inside = (
        rows
        - np.stack([rows[truth == label].mean(axis=0) for label in np.unique(truth)])[
            np.unique(truth, return_inverse=True)[1]
        ]
    )
    covariance = inside.T @ inside / len(inside)
    spread = float(np.trace(covariance)) / len(covariance) or 1.0
    variances, directions = np.linalg.eigh((1 - SHRINKAGE) * covariance + SHRINKAGE * spread * np.eye(len(covariance)))
    whitening: Floats = directions / np.sqrt(variances)
    return whitening
