"""From audio files to answers: the same pictures as in rendering, the card's settings, the card's vote."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import rich.console
import rich.progress
from numpy.typing import NDArray

from spectro.audio.decode import SUFFIXES, probe
from spectro.core.config import RenderConfig
from spectro.core.errors import AudioError, DataError
from spectro.core.predictions import Predictions, Probs
from spectro.core.runs import Run
from spectro.core.tables import Clip, Segment
from spectro.data.features import Extraction, extract_clip
from spectro.data.render import Failure, render_clip
from spectro.inference.classifier import Classifier, load_classifier
from spectro.inference.combination import Combination
from spectro.inference.temperature import apply_temperature, require_probability

BLOCK = 64  # pictures in memory at once


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What a run says about audio files."""

    segments: Predictions
    """One item per segment. Of an ensemble whose members cut or hear differently, one per clip."""
    clips: Predictions
    """One item per file that could be used, in the order given; calibrated by the card's temperature."""
    failed: tuple[Failure, ...]
    """The files that could not be used, and why."""
    abstain: float = 0.0
    """Probability below which a file is given no label."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: `labels`, `files` (each with its `segments`) and `failed`."""
        segments: dict[str, list[dict[str, Any]]] = {clip: [] for clip in self.clips.ids}
        if self.segments.ids != self.clips.ids:
            for item, clip in enumerate(self.segments.clip_ids):
                start = float(self.segments.ids[item].rpartition("@")[2])
                segments[clip].append({"start": start, **_answer(self.segments, item)})
        files = [
            {"file": clip, **_answer(self.clips, item), "segments": segments[clip]}
            for item, clip in enumerate(self.clips.ids)
        ]
        for answer in files:
            if answer["probability"] < self.abstain:
                answer["label"] = None
        return {"labels": list(self.clips.labels), "files": files, "failed": [asdict(one) for one in self.failed]}


def predict(
    run: Run | Path | str,
    files: Iterable[Path | str] | Path | str,
    *,
    overlap: float | None = None,
    abstain: float = 0.0,
    device: str = "auto",
    progress: bool = False,
) -> Predicted:
    """Classify audio files with a finished run.

    Sample rate, segments and pictures are those of the run's card, as are the vote and, in an ensemble, the members
    and how they are combined.

    Parameters
    ----------
    run
        the run or its folder.
    files
        audio files, or folders that are searched for some; a file named twice is classified once.
    overlap
        share of a segment that the next one repeats, so that more segments vote; None is what the card says.
    abstain
        calibrated probability below which a file is given no label; the probabilities are there all the same.
    device
        `auto`, `cpu`, `cuda` or `mps`.
    progress
        draw a progress bar.

    Raises
    ------
    RunError
        the run, or a member of it, is unfinished.
    DataError
        no file was given, or a folder holds none.
    ConfigError
        the overlap is no share, or `abstain` no probability.
    """
    require_probability(abstain)
    run = run if isinstance(run, Run) else Run.open(run)
    paths = _audio_files([files] if isinstance(files, str | Path) else files)
    classifiers = {leaf.path: load_classifier(leaf, device) for leaf in _leaves(run)}
    configs = {path: _heard_as(one.card["feature"], overlap) for path, one in classifiers.items()}
    console = rich.console.Console(stderr=True, quiet=not progress)
    said: dict[Path, Predictions] = {}
    failed: dict[Path, Failure] = {}
    with rich.progress.Progress(console=console, disable=not progress) as bar:
        for config in dict.fromkeys(configs.values()):
            ticker = bar.add_task(run.name, total=len(paths))
            sharing = {path: one for path, one in classifiers.items() if configs[path] == config}
            pictures = _pictures(bar.track(paths, task_id=ticker), config, failed)
            said |= _judge(sharing, pictures)
    lost = set(map(str, failed))
    whole = {
        path: one.select(np.array([clip not in lost for clip in one.clip_ids], dtype=bool))
        for path, one in said.items()
    }
    segments, clips = _decide(run, whole)
    clips = apply_temperature(clips, run.card()["temperature"])
    return Predicted(segments=segments, clips=clips, failed=tuple(failed.values()), abstain=abstain)


def _answer(predictions: Predictions, item: int) -> dict[str, Any]:
    best = int(predictions.predicted[item])
    chances = dict(zip(predictions.labels, predictions.probs[item].tolist(), strict=True))
    return {
        "label": predictions.labels[best],
        "probability": chances[predictions.labels[best]],
        "probabilities": chances,
    }


def _audio_files(given: Iterable[Path | str]) -> list[Path]:
    """Return the files among `given` and in its folders, each once."""
    found: dict[Path, None] = {}
    for path in map(Path, given):
        inside = [path]
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if not inside:
                raise DataError(f"{path} holds no audio files")
        found |= dict.fromkeys(inside)
    if not found:
        raise DataError("no audio file was given")
    return list(found)


def _leaves(run: Run) -> list[Run]:
    """Return the runs that hold a model: the run itself, or an ensemble's members, down to the last."""
    return [leaf for member in _members(run) for leaf in _leaves(member)] or [run]


def _members(run: Run) -> list[Run]:
    return [Run.open(Path(os.path.normpath(run.path / member["path"]))) for member in run.card().get("members") or []]


def _heard_as(feature: Mapping[str, Any], overlap: float | None) -> RenderConfig | Extraction:
    """Return the settings of the pictures, or of the feature, that a card names, but for another overlap."""
    config: RenderConfig | Extraction
    if feature["name"] == "mel":
        config = RenderConfig.from_dict(feature["config"])
    else:
        config = Extraction.from_dict(feature["name"], feature["config"])
    return config if overlap is None else replace(config, segment=replace(config.segment, overlap=overlap))


def _pictures(
    paths: Iterable[Path], config: RenderConfig | Extraction, failed: dict[Path, Failure]
) -> Iterator[tuple[Segment, NDArray[Any]]]:
    """Yield every segment with its picture or feature; a file that breaks off is filed in `failed`."""
    for path in paths:
        clip = Clip(id=str(path), label="", group=str(path))
        seconds = 0.0
        try:
            seconds = probe(path).seconds
            found: Iterator[tuple[float, NDArray[Any]]] = (
                render_clip(path, config) if isinstance(config, RenderConfig) else extract_clip(path, config)
            )
            for start, array in found:
                yield Segment(clip=clip, start=start, seconds=config.segment.seconds), array
        except AudioError as error:
            failed[path] = Failure(path=str(path), reason=error.reason, seconds=seconds, message=str(error))


def _judge(
    classifiers: Mapping[Path, Classifier],
    pictures: Iterator[tuple[Segment, NDArray[Any]]],
) -> dict[Path, Predictions]:
    """Return what each classifier says of each segment, going through the pictures once, a block at a time."""
    segments: list[Segment] = []
    probs: dict[Path, list[Probs]] = {path: [] for path in classifiers}
    while block := list(islice(pictures, BLOCK)):
        segments += [segment for segment, _ in block]
        stacked = np.stack([picture for _, picture in block])
        for path, classifier in classifiers.items():
            probs[path].append(classifier.predict_proba(stacked))
    return {
        path: Predictions(
            ids=tuple(segment.id for segment in segments),
            clip_ids=tuple(segment.clip.id for segment in segments),
            groups=tuple(segment.clip.group for segment in segments),
            labels=classifier.labels,
            probs=np.concatenate([np.empty((0, len(classifier.labels))), *probs[path]]),
            truth=np.full(len(segments), -1),
        )
        for path, classifier in classifiers.items()
    }


def _decide(run: Run, said: Mapping[Path, Predictions]) -> tuple[Predictions, Predictions]:
    """Return the run's segments and clips: its own, or its members' combined at both levels as the card says."""
    card = run.card()
    members = _members(run)
    if not members:
        return said[run.path], said[run.path].pool(card["vote"])
    combination = Combination.from_dict(card["combination"])
    segments, clips = zip(*(_decide(member, said) for member in members), strict=True)
    together = combination.apply(clips)
    aligned = all(one.ids == segments[0].ids for one in segments)
    return (combination.apply(segments) if aligned else together), together
