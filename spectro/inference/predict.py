"""Classify audio with a finished run: load it once, then ask for answers about files, open files or arrays."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from spectro.core.arrays import Floats, Probs
from spectro.core.card import Card
from spectro.core.errors import ConfigError, RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.core.tables import Clip, Failure, Segment
from spectro.data.engines.local import show_progress
from spectro.inference.blocks import Block, Input, Recording, classify, fill, input_of, overlapping
from spectro.inference.finite import COMBINED, require_finite
from spectro.inference.loaded_model import LoadedModel
from spectro.inference.sources import Source, find_audio_files, name_of
from spectro.inference.temperature import require_probability, scale_probs


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What a run predicts for one recording."""

    source: str
    """Path of the file, name of the open file, or its number."""
    labels: tuple[str, ...]
    """Class names, in the order of the probabilities."""
    probs: Floats
    """`[classes]`, after the vote of the segments, calibrated by the card's temperature."""
    starts: tuple[float, ...]
    """Start of each segment, in seconds; none for an ensemble whose members cut recordings differently."""
    segment_probs: Probs
    """`[segments, classes]`, not calibrated."""
    seconds: float
    """Length of a segment, in seconds; 0 where there are none."""

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.labels[int(self.probs.argmax())]

    @property
    def probability(self) -> float:
        """Its probability, 0..1."""
        return float(self.probs.max())

    def to_dict(self, min_confidence: float = 0.0) -> dict[str, Any]:
        """Return plain JSON values; `label` is None where its probability is below `min_confidence`."""
        segments = [
            {"start": start, **_row(self.labels, probs)}
            for start, probs in zip(self.starts, self.segment_probs, strict=True)
        ]
        row = _row(self.labels, self.probs)
        label = row["label"] if self.probability >= min_confidence else None
        return {"file": self.source, **row, "label": label, "segments": segments}


def _row(labels: tuple[str, ...], probs: Floats) -> dict[str, Any]:
    best = int(probs.argmax())
    values = probs.tolist()
    return {
        "label": labels[best],
        "probability": values[best],
        "probabilities": dict(zip(labels, values, strict=True)),
    }


class Predictor:
    """A run in memory that answers about any number of recordings.

    Parameters
    ----------
    run
        A finished run, an ensemble too.
    device
        `auto`, `cpu`, `cuda` or `mps`.

    Examples
    --------
    >>> predictor = Predictor.load("runs/resnet50-group")  # doctest: +SKIP
    >>> for answer in predictor(["song.mp3", open("other.wav", "rb"), (samples, 44100)]):  # doctest: +SKIP
    ...     print(answer)
    """

    def __init__(self, run: Run, device: str = "auto") -> None:
        self.run = run
        run.leaves()  # refuses an ensemble that is a member of itself
        self._model = LoadedModel.load(run, device, {})

    @classmethod
    def load(cls, run: Run | Path | str, device: str = "auto") -> Predictor:
        """Load the models of a run.

        Raises
        ------
        RunError
            the run, or a member of it, is unfinished or damaged, or they do not fit together.
        ConfigError
            there is no such device.
        """
        return cls(Run.open(run), device)

    @property
    def card(self) -> Card:
        """The run's card, which all settings come from."""
        return self.run.card

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.card.labels

    def __call__(self, sources: Iterable[Source], *, overlap: float | None = None) -> Iterator[Answer | Failure]:
        """Classify recordings, one after another; return a stream of one answer each, in the order given.

        Segments are classified in blocks across recordings, so the first answers come when a block is full or the
        sources end. Memory is bounded by the blocks, not by the recordings or their number.

        Parameters
        ----------
        sources
            Paths, files open in binary mode, or arrays as `(samples, sample_rate)`, floats in -1..1, `[n]` or
            `[n, channels]`.
        overlap
            Share of a segment that the next one repeats, so that more segments vote; None for the card's own.

        Returns
        -------
        Iterator
            For each source its `Answer`, or the `Failure` with the reason why it cannot be used.

        Raises
        ------
        ConfigError
            the overlap does not lie from 0 up to 1.
        DataError
            a source is neither a path nor an open file nor such an array.
        RunError
            the card asks for what no memory holds, or a model gives numbers that are not finite.
        """
        groups: dict[Input, list[LoadedModel]] = {}
        for leaf in self._model.leaves:
            try:
                settings = input_of(leaf.card.of_model()[0])
            except ConfigError as error:
                raise RunError(f"{self.run.path} cannot be used: {error}; make the run again") from None
            groups.setdefault(overlapping(settings, overlap), []).append(leaf)
        return self._stream(sources, groups)

    def _stream(
        self, sources: Iterable[Source], groups: Mapping[Input, list[LoadedModel]]
    ) -> Iterator[Answer | Failure]:
        blocks: dict[Input, Block] = {settings: [] for settings in groups}
        queue: deque[Recording] = deque()
        for number, source in enumerate(sources, 1):
            recording = Recording(name_of(source, number))
            queue.append(recording)
            for settings in fill(blocks, recording, source):
                classify(blocks[settings], groups[settings])
            while queue and (queue[0].failure or not queue[0].waiting):
                yield self._answer(queue.popleft())
        for settings, block in blocks.items():
            classify(block, groups[settings])
        yield from map(self._answer, queue)

    def _answer(self, recording: Recording) -> Answer | Failure:
        if recording.failure:
            return recording.failure
        segments = {settings.segment for settings in recording.starts}
        aligned = len(segments) == 1
        probs = {model: np.stack(rows) for model, rows in recording.probs.items()}
        clip, segment_probs = self._model.vote(probs, aligned)
        require_finite(clip, self.card.name, COMBINED)
        return Answer(
            source=recording.name,
            labels=self.labels,
            probs=scale_probs(clip[None], self.card.temperature)[0],
            starts=tuple(next(iter(recording.starts.values()))) if aligned else (),
            segment_probs=segment_probs,
            seconds=next(iter(segments)).seconds if aligned else 0.0,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """What a run predicts for audio files."""

    labels: tuple[str, ...]
    """Class names, in the order of the probabilities."""
    answers: tuple[Answer, ...]
    """One per file that could be used, in the order given."""
    failed: tuple[Failure, ...]
    """The files that could not be used, and why."""
    min_confidence: float = 0.0
    """Calibrated probability below which a file is given no label."""

    @cached_property
    def clips(self) -> Predictions:
        """One item per file; calibrated by the card's temperature."""
        names = tuple(answer.source for answer in self.answers)
        return self._predictions(names, names, [answer.probs[None] for answer in self.answers])

    @cached_property
    def segments(self) -> Predictions:
        """One item per segment, not calibrated; the clips, where the members of an ensemble cut them differently."""
        if self.answers and not self.answers[0].starts:
            return self.clips
        segments = [
            Segment(clip=Clip(id=answer.source, label="", group=answer.source), start=start, seconds=answer.seconds)
            for answer in self.answers
            for start in answer.starts
        ]
        ids, clips = tuple(segment.id for segment in segments), tuple(segment.clip.id for segment in segments)
        return self._predictions(ids, clips, [answer.segment_probs for answer in self.answers])

    def _predictions(self, ids: tuple[str, ...], clips: tuple[str, ...], probs: list[Probs]) -> Predictions:
        return Predictions(
            ids=ids,
            clip_ids=clips,
            groups=clips,
            labels=self.labels,
            probs=np.concatenate([np.empty((0, len(self.labels))), *probs]),
            truth=np.full(len(ids), -1),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: `labels`, `files` (each with its `segments`) and `failed`."""
        return {
            "labels": list(self.labels),
            "files": [answer.to_dict(self.min_confidence) for answer in self.answers],
            "failed": [asdict(failure) for failure in self.failed],
        }


def predict(
    run: Run | Path | str,
    files: Iterable[Path | str] | Path | str,
    *,
    overlap: float | None = None,
    min_confidence: float = 0.0,
    device: str = "auto",
    progress: bool = False,
) -> Predicted:
    """Classify audio files with a finished run.

    Sample rate, segments and spectrograms are those of the run's card, as are the vote and, in an ensemble, the
    members and how they are combined.

    Parameters
    ----------
    run
        The run or its folder.
    files
        Audio files, or folders that are searched for some; a file named twice is classified once.
    overlap
        Share of a segment that the next one repeats, so that more segments vote; None for the card's own.
    min_confidence
        Calibrated probability below which a file is given no label, 0..1; its probabilities are given all the same.
    device
        `auto`, `cpu`, `cuda` or `mps`.
    progress
        Show a progress bar.

    Raises
    ------
    RunError
        the run, or a member of it, is unfinished.
    DataError
        no file was given, or a folder has none.
    ConfigError
        the overlap does not lie from 0 up to 1, `min_confidence` is not a probability, or there is no such device.
    """
    require_probability(min_confidence)
    run, paths = Run.open(run), find_audio_files(files)
    predictor = Predictor.load(run, device)
    results = list(predictor(show_progress(iter(paths), len(paths), run.name, progress), overlap=overlap))
    return Predicted(
        labels=predictor.labels,
        answers=tuple(result for result in results if isinstance(result, Answer)),
        failed=tuple(result for result in results if isinstance(result, Failure)),
        min_confidence=min_confidence,
    )
