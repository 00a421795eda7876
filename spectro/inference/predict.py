"""Classify audio with a finished run: load it once, then ask for answers about files, open files or arrays."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spectro.core.arrays import Floats
from spectro.core.card import Card
from spectro.core.errors import ConfigError, RunError
from spectro.core.files import digest, digest_text
from spectro.core.openset import means_none
from spectro.core.runs import Run
from spectro.core.tables import Failure
from spectro.inference.answers import Answer as Answer
from spectro.inference.answers import Predicted as Predicted
from spectro.inference.blocks import BLOCK, Block, Recording, classify
from spectro.inference.finite import COMBINED, require_finite
from spectro.inference.hub import local_run
from spectro.inference.loaded_model import LoadedModel
from spectro.inference.onnx_file import is_model_file
from spectro.inference.openset import OpenSet
from spectro.inference.progress import Meter, no_progress, sound_progress
from spectro.inference.reading import Ending, Input, input_of, overlapping
from spectro.inference.sources import Source, find_audio_files
from spectro.inference.supply import Supply
from spectro.inference.temperature import require_probability, scale_probs


class Result(NamedTuple):
    """What became of one recording."""

    outcome: Answer | Failure
    ending: Ending


class Predictor:
    """A run in memory that answers about any number of recordings.

    Parameters
    ----------
    run
        A finished run, an ensemble too, its folder, the `.onnx` file that it was exported to, or `hf:owner/name` for
        one on the Hugging Face hub.
    device
        `auto`, `cpu`, `cuda` or `mps`.

    Examples
    --------
    >>> predictor = Predictor.load("runs/resnet50-group")  # doctest: +SKIP
    >>> for answer in predictor(["song.mp3", open("other.wav", "rb"), (samples, 44100)]):  # doctest: +SKIP
    ...     print(answer)
    """

    def __init__(self, run: Run | Path | str, device: str = "auto") -> None:
        run = local_run(run)
        if not isinstance(run, Run) and is_model_file(run):
            self.path = Path(run)
            exported = LoadedModel.of_file(run, device)
            self._model = replace(exported, openset=OpenSet.of_probabilities(exported.card))
            return
        run = Run.open(run)
        run.leaves()  # refuses an ensemble that is a member of itself
        self.path = run.path
        self._model = replace(LoadedModel.of_cards(run, device, {}), openset=OpenSet.load(run))

    @classmethod
    def load(cls, run: Run | Path | str, device: str = "auto") -> Predictor:
        """Load the models of a run, or of an exported file; `Predictor(run)` leaves that to the first question.

        Raises
        ------
        RunError
            the run, or a member of it, is unfinished or damaged, or they do not fit together.
        ConfigError
            there is no such device, or the library that the model needs is not installed.
        """
        predictor = cls(run, device)
        predictor._model.load_all()
        return predictor

    @property
    def card(self) -> Card:
        """The run's card, which all settings come from."""
        return self._model.card

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.card.labels

    @property
    def tells_none(self) -> bool:
        """Whether answers tell sounds of no known class: by an open set, or by a class such as noise."""
        return self._model.openset is not None or any(map(means_none, self.labels))

    def identity(self) -> str:
        """Return a checksum that differs once another answer is possible: of the cards, with those of the weights."""
        if is_model_file(self.path):
            return digest(self.path)
        return digest_text(*(repr(model.card.to_dict()) for model in self._model.walk()))

    def __call__(
        self, sources: Iterable[Source], *, overlap: float | None = None, workers: int = 1
    ) -> Iterator[Answer | Failure]:
        """Classify recordings, one after another; return a stream of one answer each, in the order given.

        Segments are classified in blocks across recordings, so the first answers come when a block is full or the
        sources end. Memory is bounded by the blocks, not by the recordings or their number. An answer does not depend
        on the recordings beside it, nor on the number of workers.

        Parameters
        ----------
        sources
            Paths, files open in binary mode, or arrays as `(samples, sample_rate)`, floats in -1..1, `[n]` or
            `[n, channels]`.
        overlap
            Share of a segment that the next one repeats, so that more segments vote; None for the card's own.
        workers
            Processes that read paths ahead of the model; 0 for one per core, 1 to read in this process.

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
        results = self.results(sources, overlap=overlap, workers=workers)
        return (one.outcome for one in results)

    def results(
        self,
        sources: Iterable[Source],
        *,
        overlap: float | None = None,
        workers: int = 1,
        stamped: bool = False,
        meter: Meter = no_progress,
    ) -> Generator[Result]:
        """Do what a call does, and yield with each answer what reading the file gave.

        Parameters
        ----------
        sources, overlap, workers
            As in a call.
        stamped
            Note size and checksum of each file.
        meter
            Called with each recording's name and how far it has been read.
        """
        return self._results(sources, self.inputs(overlap), workers, stamped, meter)

    def inputs(self, overlap: float | None = None) -> dict[Input, list[LoadedModel]]:
        """Return what has to be computed of a recording, and the models that are fed it.

        Raises
        ------
        ConfigError
            the overlap does not lie from 0 up to 1.
        RunError
            the card asks for what no memory holds.
        """
        groups: dict[Input, list[LoadedModel]] = {}
        for leaf in self._model.leaves:
            try:
                settings = input_of(leaf.card.of_model()[0])
            except ConfigError as error:
                where = f"card.json of '{leaf.card.name}'"
                raise RunError(f"{self.path} cannot be used: {error} ({where}); make the run again") from None
            groups.setdefault(overlapping(leaf.waveform or settings, overlap), []).append(leaf)
        return groups

    def _results(
        self,
        sources: Iterable[Source],
        groups: dict[Input, list[LoadedModel]],
        workers: int,
        stamped: bool,
        meter: Meter,
    ) -> Generator[Result]:
        inputs = list(groups)
        blocks: list[Block] = [[] for _ in inputs]
        queue: deque[Recording] = deque()
        with Supply(sources, inputs, workers=workers, stamped=stamped) as supply:
            self._model.load_all()  # while the workers are reading already
            for name, parts in supply:
                recording = Recording(name, starts={settings: [] for settings in inputs})
                queue.append(recording)
                for part in parts:
                    if isinstance(part, Ending):
                        recording.end(part)
                        meter(name, 1.0, part.seconds)
                        continue
                    block = blocks[part.number]
                    recording.starts[inputs[part.number]].append(part.start)
                    recording.waiting += 1
                    block.append((recording, part.array))
                    if len(block) == BLOCK:
                        classify(block, groups[inputs[part.number]])
                        share = (part.number + part.start / max(part.seconds, part.start, 1e-9)) / len(inputs)
                        meter(name, share, part.seconds)
                while queue and queue[0].ready:
                    yield self._result(queue.popleft())
        for settings, block in zip(inputs, blocks, strict=True):
            classify(block, groups[settings])
        yield from map(self._result, queue)

    def _result(self, recording: Recording) -> Result:
        assert recording.ending is not None
        return Result(self.answer(recording), recording.ending)

    def answer(self, recording: Recording) -> Answer | Failure:
        """Vote on the segments of a recording, all of which are classified.

        Raises
        ------
        RunError
            the models together give numbers that are not finite.
        """
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
            duration=recording.seconds,
            warnings=tuple(recording.warnings),
            novelty=self._novelty(recording, clip),
        )

    def _novelty(self, recording: Recording, clip: Floats) -> float | None:
        """Return how unusual a recording is; None for a run without an open set."""
        openset = self._model.openset
        if openset is None:
            return None
        return openset.novelty(openset.score(np.stack(recording.kept) if recording.kept else clip[None]))


def predict(
    run: Run | Path | str,
    files: Iterable[Path | str] | Path | str,
    *,
    overlap: float | None = None,
    min_confidence: float = 0.0,
    device: str = "auto",
    workers: int = 0,
    progress: bool = False,
) -> Predicted:
    """Classify audio files with a finished run.

    Sample rate, segments and spectrograms are those of the run's card, as are the vote and, in an ensemble, the
    members and how they are combined.

    Parameters
    ----------
    run
        The run, its folder, or the `.onnx` file that it was exported to.
    files
        Audio files, or folders that are searched for some; a file named twice is classified once.
    overlap
        Share of a segment that the next one repeats, so that more segments vote; None for the card's own.
    min_confidence
        Calibrated probability below which a file is given no label, 0..1; its probabilities are given all the same.
    device
        `auto`, `cpu`, `cuda` or `mps`.
    workers
        Processes that read files ahead of the model; 0 for one per core. One file is read in this process.
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
    paths, skipped = find_audio_files(files)
    predictor = Predictor(run, device)
    with sound_progress(paths, predictor.path.resolve().name, progress) as meter:
        results = [one.outcome for one in predictor.results(paths, overlap=overlap, workers=workers, meter=meter)]
    return Predicted(
        labels=predictor.labels,
        answers=tuple(result for result in results if isinstance(result, Answer)),
        failed=tuple(result for result in results if isinstance(result, Failure)),
        min_confidence=min_confidence,
        skipped=skipped,
    )
