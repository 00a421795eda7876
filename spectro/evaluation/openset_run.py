"""Give a finished run its threshold for "none of these", fitted on its validation clips, and write it into its card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Items
from spectro.core.config import Config, require
from spectro.core.data_folder import DataFolder
from spectro.core.errors import RunError
from spectro.core.locks import writing
from spectro.core.openset import OpenSetFacts, ScoreName, means_none
from spectro.core.runs import Run
from spectro.data.extraction import Extraction
from spectro.evaluation.openset import Fitted, Outputs, fit
from spectro.inference.classifier import load_classifier
from spectro.inference.openset import Embedded
from spectro.training.dataset import TrainingData

BLOCK = 512
"""Items that are computed at once."""


def fit_openset(
    run: Run | Path | str,
    *,
    data: DataFolder | Path | str | None = None,
    score: ScoreName | None = None,
    device: str = "auto",
) -> OpenSetFacts:
    """Fit how a run tells sounds of no known class, and write it into the run; `predict` and `serve` then use it.

    Parameters
    ----------
    run
        A finished run or its folder. Of an ensemble only its probabilities are looked at (`msp`).
    data
        The data folder that it was trained on; by default the one that its card names.
    score
        `msp`, `energy`, `knn` or `mahalanobis`; by default the one that separates best on validation.
    device
        `auto`, `cpu`, `cuda` or `mps`.

    Returns
    -------
    OpenSetFacts
        What the card now says.

    Raises
    ------
    ConfigError
        there are too few validation clips, or the model does not give what the score needs.
    DataError
        the data folder is gone, or is not the one that the run was trained on.
    RunError
        the run is damaged.
    BusyError
        another process is writing into the run.
    """
    run = Run.open(run)
    fitted = _fit_ensemble(run, score) if run.card.is_ensemble else _fit_model(run, data, score, device)
    with writing(run.path):
        before = {path.name for path in run.path.glob("openset-*.npz")}
        if fitted.references is not None:
            fitted.references.save(run, fitted.facts.file)
        card = replace(run.card, openset=fitted.facts)
        run.write_card(card)
        unused = before - {fitted.facts.file}
        for name in unused:
            (run.path / name).unlink()
        if unused:
            run.write_card(card)  # again, without their checksums
    return fitted.facts


def _fit_ensemble(run: Run, score: ScoreName | None) -> Fitted:
    require(score in (None, "msp"), f"an ensemble has probabilities only, so its score is msp, not '{score}'")
    clips = run.clip_predictions("val")
    known = clips.truth >= 0
    known &= np.array([not means_none(clips.labels[item]) for item in clips.truth])
    clips = clips.select(known)
    nothing = np.empty((len(clips), 0), np.float32)
    outputs = Outputs(
        embedded=Embedded(clips.probs, nothing, None),
        clips=np.arange(len(clips)),
        truth=clips.truth,
        groups=clips.groups,
    )
    return fit(outputs, outputs)


def _fit_model(run: Run, data: DataFolder | Path | str | None, score: ScoreName | None, device: str) -> Fitted:
    card = run.card
    feature, _ = card.of_model()
    settings: Config | None = None if feature.is_image else Extraction.of(feature).config
    folder = DataFolder.open(data or card.data.path)
    dataset = TrainingData.open(folder, card.split.name, card.data.config_id, feature.name, settings)
    if dataset.split.sha256 != card.split.sha256 or dataset.labels != card.labels:
        raise RunError(
            f"{folder.path} was split or labelled again since {run.path} was trained, so its clips cannot be told from "
            "those it learned from; train it again"
        )
    classifier, arrays = load_classifier(run, device), dataset.arrays()
    nones = np.array([means_none(label) for label in dataset.labels])
    embed: Callable[[NDArray[Any]], Embedded] = classifier.predict_embedded  # type: ignore[attr-defined]

    def outputs(items: Items) -> Outputs:
        parts = [embed(arrays[items[begin : begin + BLOCK]]) for begin in range(0, len(items), BLOCK)]
        logits = [part.logits for part in parts if part.logits is not None]
        embedded = Embedded(
            np.concatenate([part.probs for part in parts]),
            np.concatenate([part.vectors for part in parts]),
            np.concatenate(logits) if logits else None,
        )
        return Outputs.of(dataset, items, embedded)

    train, val = (dataset.subsets[name] for name in ("train", "val"))
    require(len(val) > 0, f"{run.path} has no validation clips to fit a threshold on; split with --val and train again")
    return fit(outputs(train[~nones[dataset.truth[train]]]), outputs(val[~nones[dataset.truth[val]]]), score=score)
