"""A run: one folder with everything needed to use a model again, to evaluate it and to repeat it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from spectro.core.card import Card
from spectro.core.distribution import DISTRIBUTION
from spectro.core.errors import ConfigError, RunError
from spectro.core.files import digest, read_csv, read_document, verified, write_document
from spectro.core.predictions import Predictions
from spectro.core.tables import SUBSETS, Subset

CARD_VERSION = 2
PACKAGES = ("spectro", "torch", "timm", "torchvision", "librosa", "numpy", "scipy", "soundfile", "soxr", "scikit-learn")
MAX_DEPTH = 16
"""Ensembles of ensembles are followed this far."""
MODEL_FILES = (
    *("weights.safetensors", "model.skops", "history.csv"),
    *("predictions-*.npz", "segments-*.npz", "openset-*.npz"),
)
"""What a model consists of, beside its card."""
REMEDY = "make the run again with the command that made it"


@dataclass(frozen=True)
class Run:
    """One folder: `card.json`, `history.csv`, weights, `predictions-<subset>.npz`, `metrics.json`, `report.html`."""

    path: Path

    @classmethod
    def open(cls, run: Run | Path | str) -> Run:
        """Return the finished run; raises RunError when there is none."""
        found = run if isinstance(run, Run) else cls(Path(run))
        if not found.path.is_dir():
            raise RunError(f"there is no run folder {found.path}")
        if not found.card_path.exists():
            raise RunError(
                f"{found.path} has no card.json: its training did not finish; repeat the command that made it"
            )
        return found

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def card_path(self) -> Path:
        """The card."""
        return self.path / "card.json"

    @property
    def folder(self) -> Path:
        """Where the files of the model are: the run's folder, or of an ensemble that was made again a part of it."""
        return self.path / self.card.generation if self.card_path.exists() else self.path

    @property
    def history_path(self) -> Path:
        """One line per epoch."""
        return self.path / "history.csv"

    @property
    def weights_path(self) -> Path:
        """The weights of a torch model, as safetensors."""
        return self.path / "weights.safetensors"

    @property
    def pipeline_path(self) -> Path:
        """The pipeline of a scikit-learn model, as skops."""
        return self.path / "model.skops"

    @property
    def metrics_path(self) -> Path:
        """What `evaluate` computed."""
        return self.path / "metrics.json"

    def predictions_path(self, subset: Subset) -> Path:
        """Where the predictions of a subset are kept: of segments, or of an ensemble's clips."""
        return self.folder / f"predictions-{subset}.npz"

    def segments_path(self, subset: Subset) -> Path:
        """Where an ensemble whose members cut clips alike keeps its predictions of segments."""
        return self.folder / f"segments-{subset}.npz"

    @cached_property
    def card(self) -> Card:
        """The card; raises RunError when it is damaged, not complete, or of another version."""
        values = read_document(self.card_path, "card", CARD_VERSION, remedy=REMEDY, error=RunError)
        try:
            return Card.from_dict(values, "card")
        except ConfigError as error:
            raise RunError(f"{self.card_path}: {error}; {REMEDY}") from None

    def write_card(self, card: Card) -> None:
        """Write the card with checksums of the files of the model; a run with a card is complete, so it comes last."""
        folder = self.path / card.generation
        names = {path.name for pattern in MODEL_FILES for path in folder.glob(pattern)}
        files = {name: digest(folder / name) for name in sorted(names)}
        write_document(self.card_path, "card", CARD_VERSION, replace(card, files=files).to_dict())
        self.__dict__.pop("card", None)

    def checked(self, path: Path) -> Path:
        """Return a file of the model after comparing it with the checksum in the card, at most once a process.

        Raises
        ------
        RunError
            the file is missing, damaged, or not of this model.
        """
        expected = self.card.files.get(path.name)
        if expected is None:
            raise RunError(f"{path} is not among the files that {self.card_path} lists; {REMEDY}")
        try:
            whole = verified(path, expected)
        except OSError as error:
            if self._was_replaced():
                raise RunError(f"{self.path} was made again by another process meanwhile; repeat the command") from None
            raise RunError(f"{path} cannot be read ({error.strerror}); {REMEDY}") from None
        if not whole:
            raise RunError(f"{path} is damaged (its checksum is not the one in card.json); {REMEDY}")
        return path

    def _was_replaced(self) -> bool:
        """Tell whether the card on the disk is no longer the one that was read."""
        try:
            return Run(self.path).card != self.card
        except RunError:
            return False

    def members(self) -> tuple[Run, ...]:
        """Return the runs that an ensemble combines; none for a single model."""
        return tuple(Run.open(Path(os.path.normpath(self.path / member.path))) for member in self.card.members)

    def leaves(self) -> tuple[Run, ...]:
        """Return the runs that hold a model: this one, or an ensemble's members down to the last, each once.

        Raises
        ------
        RunError
            an ensemble is a member of itself, or members are nested too deeply.
        """
        return self._leaves((), {})

    def _leaves(self, above: tuple[Path, ...], known: dict[Path, tuple[Run, ...]]) -> tuple[Run, ...]:
        here = self.path.resolve()
        if here in above or len(above) > MAX_DEPTH:
            raise RunError(f"{self.path} is a member of itself, or nested too deeply; make the ensemble again")
        if here not in known:  # each ensemble is walked once, however often it is a member
            below = [leaf for member in self.members() for leaf in member._leaves((*above, here), known)]
            known[here] = tuple(dict.fromkeys(below)) or (self,)
        return known[here]

    def history(self) -> list[dict[str, str]]:
        """Read `history.csv`, one line per epoch; nothing where the model was not trained in epochs."""
        path = self.history_path
        return read_csv(self.checked(path), ("epoch", "stage")) if self._has(path) else []

    def has_predictions(self, subset: Subset) -> bool:
        """Tell whether the run has predictions of a subset."""
        return self._has(self.predictions_path(subset))

    def _has(self, path: Path) -> bool:
        """Tell whether the card lists a file of the model; raises RunError where one is there that it does not list."""
        listed = path.name in self.card.files
        if not listed and os.path.lexists(path):
            raise RunError(f"{path} is there, but {self.card_path} does not list it; {REMEDY}")
        return listed

    def predictions(self, subset: Subset) -> Predictions:
        """Read the predictions of a subset, of segments or of an ensemble's clips.

        Raises
        ------
        RunError
            there are none, or their file is missing or damaged.
        """
        if not self.has_predictions(subset):
            have = ", ".join(one for one in SUBSETS if self.has_predictions(one)) or "none"
            raise RunError(f"{self.path} has no predictions of subset '{subset}' (have: {have})")
        return Predictions.load(self.checked(self.predictions_path(subset)))

    def segment_predictions(self, subset: Subset) -> Predictions | None:
        """Read the predictions of segments; None for an ensemble whose members cut clips differently."""
        if not self.card.is_ensemble:
            return self.predictions(subset)
        path = self.segments_path(subset)
        return Predictions.load(self.checked(path)) if self._has(path) else None

    def clip_predictions(self, subset: Subset) -> Predictions:
        """Return the predictions of clips, voted by the card's rule, not calibrated."""
        return self.predictions(subset).pool(self.card.vote)


def environment() -> dict[str, str]:
    """Return the versions that decide a result: python, platform and the packages that compute."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            versions[name] = version(DISTRIBUTION if name == "spectro" else name)
        except PackageNotFoundError:
            continue
    return versions
