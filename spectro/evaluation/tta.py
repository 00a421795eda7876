"""Test-time augmentation: test clips heard again in segments that overlap, and what the added votes are worth."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spectro.core.errors import DataError, RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.data.features import source_of
from spectro.evaluation.compare import compare_pairs
from spectro.evaluation.evaluate import evaluate_predictions
from spectro.evaluation.statistics import BootstrapConfig
from spectro.inference.predict import predict
from spectro.inference.temperature import apply_temperature


def compare_overlap(
    run: Run | Path | str,
    data: Path | str,
    *,
    overlap: float = 0.5,
    fold: str = "test",
    device: str = "auto",
    progress: bool = False,
    config: BootstrapConfig | None = None,
) -> dict[str, Any]:
    """Compare a run with itself where the segments of the same clips overlap, so that more of them vote.

    Parameters
    ----------
    run
        The run or its folder; an ensemble too.
    data
        Folder of the pictures that it was trained on; the sound is read from where they were rendered from.
    overlap
        Share of a segment that the next one repeats, 0 up to 1.
    fold
        `test`, or `val` to choose an overlap by.
    device
        `auto`, `cpu`, `cuda` or `mps`.
    progress
        Draw a progress bar.
    config
        Settings of the bootstrap.

    Returns
    -------
    `run`, `overlap`, `plain` and `overlapped` (what `evaluate_predictions` says of the clips), and `pair`: overlapped
    against plain, a row of `compare_pairs`.

    Raises
    ------
    RunError
        the run's split deals the pieces of a clip to several folds, so that no whole clip was left for the test.
    DataError
        the sound is gone, or a clip of it cannot be read any more.
    ConfigError
        the overlap is no share.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    if run.card()["split"]["by"] == "segment":
        raise RunError(f"{run.path} was trained on other pieces of its test clips; split by clip or by group instead")
    plain = apply_temperature(run.predictions(fold).pool(run.card()["vote"]), run.card()["temperature"])
    root = source_of(Path(data))
    files = {str(root / clip): item for item, clip in enumerate(plain.clip_ids)}
    gone = [file for file in files if not Path(file).is_file()]
    if gone:
        raise DataError(
            f"{gone[0]} is gone, and {len(gone) - 1} others; is {data} the folder that {run.path} was trained on?"
        )
    said = predict(run, list(files), overlap=overlap, device=device, progress=progress)
    if said.failed:
        reasons = Counter(failure.reason for failure in said.failed)
        raise DataError(
            f"{len(said.failed)} test clips cannot be read any more ({dict(reasons)}): {said.failed[0].path}"
        )
    order = np.array([files[file] for file in said.clips.clip_ids])
    known = plain.select(order)
    overlapped: Predictions = replace(known, probs=said.clips.probs)
    return {
        "run": run.card().get("name", run.name),
        "overlap": overlap,
        "plain": evaluate_predictions(known, config=config),
        "overlapped": evaluate_predictions(overlapped, config=config),
        "pair": compare_pairs({"overlapped": overlapped, "plain": known}, config)[0],
    }
