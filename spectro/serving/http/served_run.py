"""A run that is served: loaded once, warmed up, and asked about decoded uploads by one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spectro.core.config import RenderConfig
from spectro.core.predictions import VOTES
from spectro.core.runs import Run
from spectro.inference.answers import Answer
from spectro.inference.blocks import BLOCK, Recording, classify
from spectro.inference.loaded_model import LoadedModel
from spectro.inference.onnx_file import is_model_file
from spectro.inference.predict import Predictor
from spectro.inference.reading import Ending, Input
from spectro.inference.tables import TableOptions, band_of
from spectro.serving.http.facts import run_facts
from spectro.serving.http.upload_decoding import DecodedUpload, read_input


class Stopped(Exception):
    """Nobody wants the answer any more."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedAnswer:
    """The answer about one upload."""

    answer: Answer
    members: tuple[Answer, ...]
    """What each model of an ensemble predicts by itself, with its name as the source; none where there is only one."""


class Explainable(NamedTuple):
    """A network whose decisions can be shown as an image."""

    model: LoadedModel
    settings: RenderConfig
    """What it is fed."""
    input: int
    """Which of the inputs of an upload that is."""


class ServedRun:
    """A run, known by its card at once and by its weights once it is loaded.

    Parameters
    ----------
    path
        Folder of a finished run, or an exported `.onnx` file.
    device
        Where its models compute.
    """

    def __init__(self, path: Path, device: str) -> None:
        self._run = None if is_model_file(path) else Run.open(path)
        self._predictor = Predictor(path, device)
        self.card = self._predictor.card
        self.name = path.stem if self._run is None else self._run.name

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What is known of the run, as JSON values."""
        return run_facts(self.card, self._run)

    def options(self, min_confidence: float) -> TableOptions:
        """Return what tables of its answers show."""
        band, tells_none = band_of(self.inputs(None)[0]), self._predictor.tells_none
        return TableOptions(min_confidence=min_confidence, band=band, none_of_these=tells_none)

    def load(self) -> None:
        """Load the models, and classify silence once with each, so that the first answer does not wait."""
        for models in self._predictor.inputs().values():
            for model in models:
                assert model.classifier is not None
                model.classifier.predict_proba(_silence(model))

    def inputs(self, overlap: float | None) -> tuple[Input, ...]:
        """Return what to compute of an upload; raises ConfigError where the overlap is no share from 0 up to 1."""
        return tuple(self._predictor.inputs(overlap))

    def explainable(self, overlap: float | None) -> dict[str, Explainable]:
        """Return by name the networks that take mel-spectrograms; none of an exported file, which has no gradients."""
        if self._run is None:
            return {}
        return {
            model.card.name: Explainable(model, settings, number)
            for number, (settings, models) in enumerate(self._predictor.inputs(overlap).items())
            for model in models
            if model.card.kind == "torch" and isinstance(settings, RenderConfig)
        }

    def answer(
        self,
        name: str,
        folder: Path,
        decoded: DecodedUpload,
        *,
        overlap: float | None,
        on_progress: Callable[[float], object],
        stopped: threading.Event,
    ) -> ServedAnswer:
        """Classify a decoded upload.

        Parameters
        ----------
        name
            What the answer calls it.
        folder
            Where its segments are.
        decoded
            What its decoding gave, for the inputs of the same overlap.
        overlap
            Share of a segment that the next one repeats; None for the card's own.
        on_progress
            Called with the share that is done, 0..1.
        stopped
            Set when nobody wants the answer any more.

        Raises
        ------
        Stopped
            it was stopped.
        """
        recording = Recording(name)
        recording.end(Ending(seconds=decoded.seconds, warnings=decoded.warnings))
        groups = self._predictor.inputs(overlap)
        total = sum(len(decoded.inputs[number].starts) for number in range(len(groups)))
        done = 0
        for number, (settings, models) in enumerate(groups.items()):
            arrays = read_input(folder, number, decoded.inputs[number])
            recording.starts[settings] = list(decoded.inputs[number].starts)
            for begin in range(0, len(arrays), BLOCK):
                if stopped.is_set():
                    raise Stopped
                block = [(recording, np.asarray(array)) for array in arrays[begin : begin + BLOCK]]
                recording.waiting += len(block)
                done += len(block)
                classify(block, models)
                on_progress(done / total)
        answer = self._predictor.answer(recording)
        assert isinstance(answer, Answer)
        pairs = [(settings, model) for settings, models in groups.items() for model in models]
        members = tuple(_member(model, recording, settings, answer) for settings, model in pairs)
        return ServedAnswer(answer=answer, members=members if len(members) > 1 else ())


def _member(model: LoadedModel, recording: Recording, settings: Input, answer: Answer) -> Answer:
    probs = np.stack(recording.probs[model])
    return replace(
        answer,
        source=model.card.name,
        probs=VOTES[model.card.vote](probs),
        starts=tuple(recording.starts[settings]),
        segment_probs=probs,
        seconds=settings.segment.seconds,
        warnings=(),
    )


def _silence(model: LoadedModel) -> np.ndarray:
    """Return one segment of silence as a model is fed it."""
    if model.waveform is not None:
        return np.zeros((1, round(model.waveform.segment.seconds * model.waveform.mel.sample_rate)), np.float32)
    feature, (bands, frames) = model.card.of_model()
    shape = (1, bands) if feature.kind == "vector" else (1, bands, frames)
    return np.zeros(shape, np.uint8 if feature.is_image else np.float32)


def distinct(runs: Sequence[ServedRun]) -> dict[str, ServedRun]:
    """Return runs by name; a name that several have gets a number behind it."""
    named: dict[str, ServedRun] = {}
    for run in runs:
        name, number = run.name, 2
        while name in named:
            name, number = f"{run.name}-{number}", number + 1
        named[name] = run
        run.name = name
    return named
