"""None of these: class names that mean it, and what a run knows about sounds of no class that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from spectro.core.config import require
from spectro.core.records import Record

NONE_NAMES = frozenset({"noise", "background", "silence", "other"})
"""Class names that mean "none of these", in lower case: the convention of BirdNET's trainer."""
ScoreName = Literal["msp", "energy", "knn", "mahalanobis"]
"""Ways to tell how far a sound is from all classes."""
KNOWN_KEPT = 0.95
"""Share of validation clips of known classes that the threshold accepts."""


def means_none(label: str) -> bool:
    """Tell whether a class stands for "none of these"."""
    return label.strip().lower() in NONE_NAMES


@dataclass(frozen=True, kw_only=True)
class OpenSetFacts(Record):
    """How a run tells sounds of no class that it knows: a score, and how the validation clips score."""

    score: ScoreName
    neighbours: int
    """Which nearest reference the distance is taken to; 1 is the nearest. Only distances use it."""
    quantiles: tuple[float, ...]
    """Scores of the validation clips of known classes, from the lowest to the highest in equal steps."""
    threshold: float
    """Score above which a sound is none of the classes; 95 of 100 validation clips of known classes are below it."""
    clips: int
    """Number of validation clips that it was fitted on."""
    evidence: Mapping[str, float]
    """Of each score that was tried: area under the ROC curve, 0..1, with each class left out in turn on validation."""
    file: str
    """File in the run's folder that holds the references; empty where the score needs none."""

    def __post_init__(self) -> None:
        require(len(self.quantiles) >= 2, f"openset.quantiles are {len(self.quantiles)}, but must be at least 2")
        require(list(self.quantiles) == sorted(self.quantiles), "openset.quantiles must rise")
        require(self.neighbours >= 1, f"openset.neighbours is {self.neighbours}, but must be at least 1")
        require((self.score in ("knn", "mahalanobis")) == bool(self.file), "openset.file does not fit openset.score")
