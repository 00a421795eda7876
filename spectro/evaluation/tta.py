"""Test-time augmentation: predict test clips again with overlapping segments, and test whether the added votes help."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from spectro.core.alignment import own_clips
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError, RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.core.tables import Subset
from spectro.evaluation.compare import compare_pairs
from spectro.evaluation.evaluate import evaluate_predictions
from spectro.evaluation.results import OverlapComparison
from spectro.evaluation.statistics import BootstrapConfig
from spectro.inference.predict import predict
from spectro.inference.temperature import apply_temperature


def compare_overlap(
    run: Run | Path | str,
    data: DataFolder | Path | str,
    *,
    overlap: float = 0.5,
    subset: Subset = "test",
    device: str = "auto",
    progress: bool = False,
    config: BootstrapConfig | None = None,
) -> OverlapComparison:
    """Compare a run with itself where the segments of the same clips overlap, so that more of them vote.

    Parameters
    ----------
    run
        The run or its folder; an ensemble too.
    data
        Data folder that it was trained on; the audio is read from where that was rendered from.
    overlap
        Share of a segment that the next one repeats, 0 up to 1.
    subset
        `test`, or `val` to choose an overlap by.
    device
        `auto`, `cpu`, `cuda` or `mps`.
    progress
        Draw a progress bar.
    config
        Settings of the bootstrap.

    Raises
    ------
    RunError
        The run's split assigns segments, so that no whole clip was left for the test.
    DataError
        The audio is gone, or a clip of it cannot be read any more.
    ConfigError
        The overlap is no share.
    """
    run = Run.open(run)
    card = run.card
    if card.split.by == "segment":
        raise RunError(f"{run.path} was trained on other segments of its test clips; split by clip or by group instead")
    plain = apply_temperature(own_clips(run, subset), card.temperature)
    plain, overlapped = _predict_again(run, plain, DataFolder.open(data), overlap, device, progress)
    (pair,) = compare_pairs({"overlapped": overlapped, "plain": plain}, config)
    return OverlapComparison(
        run=card.name,
        subset=subset,
        overlap=overlap,
        plain=evaluate_predictions(plain, config=config),
        overlapped=evaluate_predictions(overlapped, config=config),
        pair=pair,
    )


def _predict_again(
    run: Run, clips: Predictions, data: DataFolder, overlap: float, device: str, progress: bool
) -> tuple[Predictions, Predictions]:
    """Return the clips, and their predictions with overlapping segments, in one order."""
    root = data.source_root()
    files = {str(root / clip): item for item, clip in enumerate(clips.clip_ids)}
    gone = [file for file in files if not Path(file).is_file()]
    if gone:
        others = f", and {len(gone) - 1} others" if len(gone) > 1 else ""
        raise DataError(f"{gone[0]} is gone{others}; is {data.path} the folder that {run.path} was trained on?")
    predicted = predict(run, list(files), overlap=overlap, device=device, progress=progress)
    if predicted.failed:
        reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(one.reason for one in predicted.failed).items())
        raise DataError(
            f"{len(predicted.failed)} clips cannot be read any more ({reasons}), such as {predicted.failed[0].path}; "
            "bring the files back as they were rendered"
        )
    ordered = clips.select(np.array([files[file] for file in predicted.clips.clip_ids]))
    return ordered, replace(ordered, probs=predicted.clips.probs)
