"""A run: one folder with everything needed to use a model again, to judge it and to repeat it."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from spectro.core.errors import RunError
from spectro.core.predictions import Predictions
from spectro.core.tables import write_text

CARD_FORMAT = 1
PACKAGES = ("spectro", "torch", "timm", "torchvision", "librosa", "numpy", "scipy", "soundfile", "soxr", "scikit-learn")


@dataclass(frozen=True)
class Run:
    """One folder: `card.json`, `history.csv`, weights, `predictions-<fold>.npz`, `metrics.json`, `report.html`."""

    path: Path

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Return the finished run in `path`; raises RunError when there is none."""
        run = cls(Path(path))
        if not run.path.is_dir():
            raise RunError(f"there is no run folder {path}")
        if not run.card_path.exists():
            raise RunError(f"{path} has no card.json: its training did not finish; repeat the command that made it")
        return run

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def card_path(self) -> Path:
        """The model's passport."""
        return self.path / "card.json"

    @property
    def history_path(self) -> Path:
        """One line per epoch."""
        return self.path / "history.csv"

    @property
    def weights_path(self) -> Path:
        """The weights of a torch model, as safetensors."""
        return self.path / "weights.safetensors"

    @property
    def metrics_path(self) -> Path:
        """What `evaluate` found."""
        return self.path / "metrics.json"

    def predictions_path(self, fold: str) -> Path:
        """Where the segment predictions of a fold are kept."""
        return self.path / f"predictions-{fold}.npz"

    def card(self) -> dict[str, Any]:
        """Read the card; raises RunError when it was written by a newer version."""
        card: dict[str, Any] = json.loads(self.card_path.read_text(encoding="utf-8"))
        if card.get("format") != CARD_FORMAT:
            raise RunError(f"{self.card_path} has format {card.get('format')}, but this version reads {CARD_FORMAT}")
        return card

    def write_card(self, card: Mapping[str, Any]) -> None:
        """Write the card; a run with a card is complete, so this comes last."""
        write_text(self.card_path, json.dumps({"format": CARD_FORMAT, **card}, indent=2, ensure_ascii=False) + "\n")

    def metrics(self) -> dict[str, Any]:
        """Read `metrics.json`; raises RunError when the run was not evaluated."""
        if not self.metrics_path.exists():
            raise RunError(f"{self.path} was not evaluated yet; run `spectro evaluate {self.path}`")
        return json.loads(self.metrics_path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write `metrics.json`."""
        write_text(self.metrics_path, json.dumps(metrics, indent=2, ensure_ascii=False) + "\n")

    def history(self) -> list[dict[str, str]]:
        """Read `history.csv`, one line per epoch; nothing where the model was not trained in epochs."""
        if not self.history_path.exists():
            return []
        with self.history_path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def predictions(self, fold: str) -> Predictions:
        """Read the segment predictions of a fold; raises RunError when there are none."""
        path = self.predictions_path(fold)
        if not path.exists():
            have = ", ".join(sorted(p.stem.removeprefix("predictions-") for p in self.path.glob("predictions-*.npz")))
            raise RunError(f"{self.path} has no predictions of fold '{fold}' (have: {have or 'none'})")
        return Predictions.load(path)


def environment() -> dict[str, str]:
    """Return the versions that decide a result: python, platform and the packages that compute."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
