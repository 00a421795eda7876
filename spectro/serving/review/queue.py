"""What is to be labelled: recordings with a model's answers, the most informative first."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spectro.core.arrays import Floats, Probs
from spectro.core.config import RenderConfig
from spectro.core.errors import DataError
from spectro.core.runs import Run
from spectro.core.tables import Failure
from spectro.evaluation.informative import ORDERS, Pool, lead
from spectro.inference.predict import Predictor
from spectro.inference.reading import display_of
from spectro.inference.stream import predict_to


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """One recording under review."""

    file: Path
    probs: Floats
    """`[classes]`"""
    segments: tuple[dict[str, Any], ...]
    """Each segment's start, label and probability."""
    duration: float
    """Length, in seconds."""
    none_of_these: bool | None

    @property
    def focus(self) -> float:
        """Start of the segment that the model is least sure of, in seconds."""
        if not self.segments:
            return 0.0
        return float(min(self.segments, key=lambda segment: segment["lead"])["start"])


@dataclass(frozen=True, kw_only=True, eq=False)
class Queue:
    """The recordings in the order in which they are shown."""

    items: tuple[Item, ...]
    labels: tuple[str, ...]
    """Class names of the run."""
    failed: tuple[Failure, ...]
    """Files that could not be used."""
    display: RenderConfig
    """How sounds are drawn."""


def make_queue(
    run: Run,
    sounds: Sequence[Path | str],
    *,
    state: Path,
    order: str,
    device: str,
    workers: int,
    progress: bool,
    log: Callable[[str], object],
) -> Queue:
    """Ask the run about the sounds, or read what it answered before, and put them in order.

    Parameters
    ----------
    run
        A finished run.
    sounds
        Audio files, or folders of them.
    state
        Folder where answers are kept, so that only new files are asked about the next time.
    order
        Name in `ORDERS`.
    device, workers, progress
        As in `predict_to`.
    log
        Called with a line about files that cannot be used.

    Raises
    ------
    ConfigError
        there is no such order.
    DataError
        no file can be used.
    """
    rule = ORDERS[order]

    def ask(model: Run) -> tuple[Predictor, list[dict[str, Any]], tuple[Failure, ...]]:
        predictor = Predictor(model, device)
        out = state / f"{model.name}-{predictor.identity()[:12]}.jsonl"
        written = predict_to(model, sounds, out, device=device, workers=workers, progress=progress)
        lines = out.read_text(encoding="utf-8", errors="replace").splitlines()
        return predictor, [json.loads(line) for line in lines], written.failed

    predictor, answers, failed = ask(run)
    if failed:
        log(f"{len(failed)} files cannot be used, the first: {failed[0].message}")
    if not answers:
        raise DataError("none of the files can be used, so there is nothing to review")
    labels = predictor.labels
    items = [_item(answer, labels) for answer in answers]
    members: Probs | None = None
    if order == "disagreement" and run.card.is_ensemble:
        opinions = [{one["file"]: one for one in ask(leaf)[1]} for leaf in run.leaves()]
        members = np.stack([[_probs(one[str(item.file)], labels) for item in items] for one in opinions])
    pool = Pool(probs=np.stack([item.probs for item in items]), members=members)
    return Queue(
        items=tuple(items[place] for place in rule(pool, len(items)).tolist()),
        labels=labels,
        failed=failed,
        display=display_of(list(predictor.inputs())),
    )


def _probs(answer: dict[str, Any], labels: Sequence[str]) -> Floats:
    return np.array([answer["probabilities"][label] for label in labels], np.float64)


def _item(answer: dict[str, Any], labels: Sequence[str]) -> Item:
    rows = []
    for segment in answer["segments"]:
        sure = float(lead(_probs(segment, labels)[None])[0])
        rows.append({key: segment[key] for key in ("start", "label", "probability")} | {"lead": sure})
    return Item(
        file=Path(answer["file"]),
        probs=_probs(answer, labels),
        segments=tuple(rows),
        duration=float(answer["duration"]),
        none_of_these=answer.get("none_of_these"),
    )
