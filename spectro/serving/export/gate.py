"""The gate of an export: a file's answers on the run's own test segments, beside those of the run itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Floats32, Items, Probs, softmax
from spectro.core.errors import RunError, first_line
from spectro.core.predictions import Predictions
from spectro.evaluation.statistics import paired_bootstrap
from spectro.inference.batches import Batches, predict_logits
from spectro.inference.combination import combine_predictions
from spectro.inference.loaded_model import LoadedModel
from spectro.inference.onnx_file import ExportedModel
from spectro.inference.temperature import scale_probs
from spectro.inference.torch_classifier import BATCH_SIZE, TorchClassifier
from spectro.serving.export.report import BatchFacts, CellFacts, GateReport, LabelDifference, LossFacts
from spectro.serving.export.segments import RunData

SIZES = (1, 2, 7)
"""Batches that are compared; all segments go through the last, the first ones through the others."""
FEW = 14
"""Segments in the smaller batches."""

Answer = Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]
"""What a file gives for one batch: `probabilities`, `logits` and, where it computes them, images by name."""


@dataclass(frozen=True, eq=False)
class RunAnswers:
    """The run itself, asked for the same as a file."""

    model: LoadedModel
    leaves: Sequence[LoadedModel]
    """Its networks, in the order of their columns."""
    fed: Sequence[int]
    """For each network the number of the array that it is fed."""

    def __call__(self, arrays: Sequence[NDArray[Any]]) -> tuple[Floats32, Probs]:
        """Return logits `[items, models, classes]`, and probabilities `[items, classes]`, combined and calibrated."""
        columns = []
        for leaf, number in zip(self.leaves, self.fed, strict=True):
            assert isinstance(leaf.classifier, TorchClassifier)
            batches = Batches(arrays[number], leaf.classifier.device, BATCH_SIZE)
            columns.append(predict_logits(leaf.classifier.network, batches, np.arange(len(arrays[number]))))
        probs = {leaf: softmax(logits) for leaf, logits in zip(self.leaves, columns, strict=True)}
        combined = scale_probs(self.model.vote(probs, True)[1], self.model.card.temperature)
        return np.stack(columns, 1), combined


@dataclass(frozen=True, kw_only=True, eq=False)
class Expected:
    """What the run gives for its test segments."""

    run: RunAnswers
    data: RunData
    items: Items
    """The segments, as indices into the data."""
    logits: Floats32
    """`[items, models, classes]`."""
    probs: Probs
    """`[items, classes]`, combined and calibrated."""
    seconds: float
    """Time for one segment."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """A file's answers beside the run's."""

    batches: tuple[BatchFacts, ...]
    cells: CellFacts | None
    labels: tuple[LabelDifference, ...]
    logits: Floats32
    """The file's, `[items, models, classes]`."""
    seconds: float


def expect(run: RunAnswers, data: RunData) -> Expected:
    """Return the run's answers for its test segments."""
    items = np.asarray(data.training.subsets["test"])
    arrays = [data.fed(number, items) for number in range(len(data.inputs))]
    began = time.perf_counter()
    logits, probs = run(arrays)
    seconds = (time.perf_counter() - began) / len(items)
    return Expected(run=run, data=data, items=items, logits=logits, probs=probs, seconds=seconds)


def compare(answer: Answer, expected: Expected, images: Sequence[str]) -> Comparison:
    """Compare a file with the run on all test segments, in batches of several sizes.

    Where the graph computes images, they are compared with those of `render`, and the networks are compared on them.

    Parameters
    ----------
    answer
        The file.
    expected
        What the run gives.
    images
        Names of the images that the graph computes, in the order of the arrays that networks are fed.
    """
    passes = [_answers(answer, expected, size, images) for size in SIZES]
    last = passes[-1]
    return Comparison(
        batches=tuple(_apart(one, expected, size) for one, size in zip(passes, SIZES, strict=True)),
        cells=_cells(last, expected) if images else None,
        labels=tuple(_labels(last.probs, expected)),
        logits=last.logits,
        seconds=last.seconds / len(expected.items),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pass:
    """The answers in batches of one size."""

    logits: Floats32
    probs: Floats32
    images: tuple[NDArray[Any], ...]
    seconds: float


def _answers(answer: Answer, expected: Expected, size: int, images: Sequence[str]) -> _Pass:
    items = expected.items if size == SIZES[-1] else expected.items[:FEW]
    seconds, outputs = 0.0, []
    for begin in range(0, len(items), size):
        given = expected.data.given(items[begin : begin + size])
        began = time.perf_counter()
        try:
            outputs.append(answer(given))
        except Exception as error:  # the classes of a runtime, which are private to it
            reason = first_line(error)
            raise RunError(f"the file does not take a batch of {len(given)}: {reason}") from None
        seconds += time.perf_counter() - began
    logits, probs, *pictures = (
        np.concatenate([one[name] for one in outputs]) for name in ("logits", "probabilities", *images)
    )
    return _Pass(logits=logits, probs=probs, images=tuple(pictures), seconds=seconds)


def _apart(done: _Pass, expected: Expected, size: int) -> BatchFacts:
    count = len(done.logits)
    logits, probs = expected.run(done.images) if done.images else (expected.logits[:count], expected.probs[:count])
    return BatchFacts(
        size=size,
        segments=count,
        logits=_worst(done.logits - logits),
        probabilities=_worst(done.probs - probs),
    )


def _cells(done: _Pass, expected: Expected) -> CellFacts:
    differing = cells = levels = 0
    for number, images in enumerate(done.images):
        apart = np.abs(images.astype(np.int16) - expected.data.fed(number, expected.items))
        differing, cells = differing + int((apart > 0).sum()), cells + apart.size
        levels = max(levels, int(apart.max()))
    return CellFacts(share=differing / cells, levels=levels, probabilities=_worst(done.probs - expected.probs))


def _worst(differences: NDArray[Any]) -> float:
    """Return the largest absolute difference; a large number where one is not finite, which JSON cannot hold."""
    worst = np.abs(differences).max()
    return float(worst) if np.isfinite(worst) else float(np.finfo(np.float32).max)


def _labels(probs: Floats32, expected: Expected) -> Iterator[LabelDifference]:
    names = expected.data.training.labels
    mine, theirs = expected.probs.argmax(axis=1), probs.argmax(axis=1)
    for item in np.flatnonzero(mine != theirs).tolist():
        second, first = np.sort(expected.probs[item])[-2:]
        yield LabelDifference(
            segment=expected.data.training.segments[expected.items[item]].id,
            run=names[mine[item]],
            file=names[theirs[item]],
            margin=float(first - second),
        )


def consistency(answer: Answer, expected: Expected, whole: Comparison) -> tuple[BatchFacts, ...]:
    """Compare a file with itself: its logits in small batches with those in the largest one."""
    facts = []
    for size in SIZES[:-1]:
        logits = _answers(answer, expected, size, ()).logits
        apart = logits - whole.logits[: len(logits)]
        shifted = softmax_apart(logits, whole.logits[: len(logits)])
        facts.append(BatchFacts(size=size, segments=len(logits), logits=_worst(apart), probabilities=shifted))
    return tuple(facts)


def softmax_apart(first: Floats32, second: Floats32) -> float:
    """Return the largest difference of the probabilities of logits `[items, models, classes]`."""
    classes = first.shape[-1]
    return _worst(softmax(first.reshape(-1, classes)) - softmax(second.reshape(-1, classes)))


def loss(
    model: ExportedModel, expected: Expected, logits: Floats32, calibrated_on: int, plain: GateReport
) -> LossFacts:
    """Compare the accuracy of an 8-bit file with the run's, on clips.

    Parameters
    ----------
    model
        The run.
    expected
        What the run gives.
    logits
        What the file gives, `[items, models, classes]`.
    calibrated_on
        Segments that its ranges were measured on.
    plain
        What the file without 8-bit weights was found to be.
    """
    mine, theirs = (clips(model, expected, one) for one in (expected.logits, logits))
    right = [(one.predicted == one.truth).astype(np.float64) for one in (mine, theirs)]
    same = segments(model, expected, expected.logits).predicted == segments(model, expected, logits).predicted
    return LossFacts(
        calibrated_on=calibrated_on,
        clips=len(mine),
        run_accuracy=float(right[0].mean()),
        accuracy=float(right[1].mean()),
        difference=paired_bootstrap(right[1], right[0], mine.groups).estimate,
        same_label=float(same.mean()),
        float_bytes=plain.bytes,
        float_seconds=plain.seconds,
    )


def clips(model: ExportedModel, expected: Expected, logits: Floats32) -> Predictions:
    """Return the predictions of clips from logits, voted as `predict` does."""
    if model.card.combination is None or model.column >= 0:
        return segments(model, expected, logits).pool(model.card.vote)
    return combine_predictions(model.card.combination, [clips(one, expected, logits) for one in model.members])


def segments(model: ExportedModel, expected: Expected, logits: Floats32) -> Predictions:
    """Return the predictions of segments from logits."""
    if model.card.combination is None or model.column >= 0:
        return expected.data.training.predictions(expected.items, softmax(logits[:, model.column]))
    return combine_predictions(model.card.combination, [segments(one, expected, logits) for one in model.members])
