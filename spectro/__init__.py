"""Classify music and sound from spectrogram images; public names are listed in `__init__.pyi` and load on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from pathlib import Path

    from spectro.core.runs import Run
    from spectro.inference.classifier import Classifier

__getattr__, _, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted([*_names, "load"])


def __dir__() -> list[str]:
    return list(__all__)


def load(run: Run | Path | str, device: str = "auto") -> Classifier:
    """Load the model of a finished run.

    Parameters
    ----------
    run
        The run or its folder.
    device
        `auto`, `cpu`, `cuda` or `mps`.

    Returns
    -------
    Classifier
        The model with its `card` and `labels`; its `predict_proba` returns probabilities `[items, classes]` of images
        `[items, bands, frames]` or of vectors `[items, values]`. `Predictor` takes audio files, and ensembles.

    Raises
    ------
    RunError
        The run is unfinished, is an ensemble, or its files do not fit its card.
    """
    from spectro.inference.classifier import load_classifier

    return load_classifier(run, device)
