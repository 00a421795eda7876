"""Exported models as classifiers: one ONNX graph holds a network, or all members of an ensemble."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Floats32, Probs, softmax
from spectro.core.card import Card
from spectro.core.errors import ConfigError, RunError, first_line
from spectro.inference.finite import require_finite
from spectro.inference.onnx_file import REMEDY, ExportedModel, OnnxFile, read_onnx
from spectro.inference.waveform import Waveform

BATCH_SIZE = 16
"""Segments that are classified at once; larger batches are no faster on CPUs and take more memory."""
QUIET = 4
"""Severity from which the runtime logs: only what is fatal, for what it raises is reported here."""


@dataclass(eq=False)
class OnnxModel:
    """A file in memory, whose logits all of its members share."""

    file: OnnxFile
    session: Any  # onnxruntime ships no types
    _last: tuple[NDArray[Any], Floats32] | None = field(default=None, repr=False)

    @property
    def model(self) -> ExportedModel:
        """The run in it."""
        return self.file.facts.model

    @cached_property
    def waveform(self) -> Waveform | None:
        """How recordings become samples, if the graph takes those."""
        if self.file.facts.front != "audio":
            return None
        settings = leaf_cards(self.model)[0].of_model()[0].render_config
        return Waveform(mel=settings.mel, segment=settings.segment)

    def logits(self, arrays: NDArray[Any]) -> Floats32:
        """Return `[items, models, classes]`; asked again for the same array, as by each member, nothing is computed.

        Raises
        ------
        RunError
            the graph does not take such arrays, or gives something else.
        """
        if self._last is None or self._last[0] is not arrays:
            self._last = arrays, self._compute(arrays)
        return self._last[1]

    def _compute(self, arrays: NDArray[Any]) -> Floats32:
        name = self.session.get_inputs()[0].name
        batches = [arrays[begin : begin + BATCH_SIZE] for begin in range(0, len(arrays), BATCH_SIZE)]
        wanted = (len(set(self.model.columns())), len(self.model.card.labels))
        try:
            parts = [self.session.run(["logits"], {name: np.ascontiguousarray(batch)})[0] for batch in batches]
            logits = np.concatenate(parts) if parts else np.empty((0, *wanted), np.float32)
        except Exception as error:  # the runtime's own classes, which are private to it
            reason = first_line(error)
            raise RunError(f"{self.file.path} cannot classify inputs of {arrays.shape[1:]}: {reason}") from None
        if logits.shape != (len(arrays), *wanted):
            raise RunError(f"{self.file.path} gives other logits than those of its card; {REMEDY}")
        return logits


@dataclass(frozen=True, eq=False)
class OnnxClassifier:
    """One model of a file."""

    source: OnnxModel
    card: Card
    column: int

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of the probabilities."""
        return self.card.labels

    @property
    def batch_size(self) -> int:
        """Number of items in one call that is fastest; few, so that a single file waits for no others."""
        return 4

    @property
    def lanes(self) -> None:
        """None: the runtime has threads of its own."""
        return None

    def predict_proba(self, arrays: NDArray[Any]) -> Probs:
        """Return probabilities `[items, classes]` of what the file takes: images, features, or samples.

        Raises
        ------
        RunError
            the graph gives numbers that are not finite, or does not take inputs of that shape.
        """
        return require_finite(softmax(self.source.logits(arrays)[:, self.column]), self.card.name)


def leaf_cards(model: ExportedModel) -> tuple[Card, ...]:
    """Return the cards of the models in a file, in the order of their columns."""
    cards = dict(_leaves(model))
    return tuple(cards[column] for column in sorted(cards))


def _leaves(model: ExportedModel) -> list[tuple[int, Card]]:
    below = [leaf for member in model.members for leaf in _leaves(member)]
    return below or [(model.column, model.card)]


def open_model(file: OnnxFile | Path | str) -> OnnxModel:
    """Return the model of a file, on the CPU.

    Parameters
    ----------
    file
        An exported model, or its path.

    Raises
    ------
    ConfigError
        onnxruntime is not installed.
    RunError
        the file is not an undamaged export, or the runtime cannot load its graph.
    """
    file = file if isinstance(file, OnnxFile) else read_onnx(file)
    session = open_session(file.content, str(file.path))
    outputs = [output.name for output in session.get_outputs()]
    if len(session.get_inputs()) != 1 or outputs[:2] != ["probabilities", "logits"]:
        raise RunError(f"{file.path} has other inputs or outputs than an exported model; {REMEDY}")
    return OnnxModel(file, session)


def open_session(content: bytes, name: str) -> Any:
    """Return onnxruntime's session of a serialized model, on the CPU.

    Raises
    ------
    ConfigError
        onnxruntime is not installed.
    RunError
        it cannot load the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own classes, which are private to it
        reason = first_line(error)
        raise RunError(f"{name} cannot be loaded by onnxruntime: {reason}; {REMEDY}") from None


def load(path: Path | str, device: str = "auto") -> OnnxClassifier:
    """Return the classifier in a file.

    Raises
    ------
    RunError
        the file is not an undamaged export, or holds an ensemble.
    ConfigError
        onnxruntime is not installed, or another device than the CPU is wanted.
    """
    require_cpu(device)
    source = open_model(path)
    if source.model.card.is_ensemble:
        raise RunError(f"{path} holds an ensemble, not one model; ask it with `spectro predict` or a Predictor")
    return OnnxClassifier(source, source.model.card, source.model.column)


def require_cpu(device: str) -> None:
    """Refuse another device than the CPU; raises ConfigError."""
    if device not in ("auto", "cpu"):
        raise ConfigError(f"an exported model runs on the CPU, not on '{device}'; use --device cpu, or the run itself")
