"""Read one recording: its segments one after another, each as what a model is fed, and at the end what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spectro.audio.decode import probe
from spectro.audio.info import AudioWarning
from spectro.core.card import FeatureFacts
from spectro.core.config import MelConfig, RenderConfig, SegmentConfig, require
from spectro.core.errors import AudioError
from spectro.core.records import Record
from spectro.data.clip_rendering import render_clip
from spectro.data.extraction import Extraction, extract_clip
from spectro.data.source import signature, source_stamp
from spectro.inference.waveform import Waveform, iter_waveforms

LONGEST, LARGEST = 1 << 28, 1 << 24
"""Most samples of a segment, and most values of a spectrogram: 1 GB each, for there are many in memory."""

Input = RenderConfig | Extraction | Waveform
"""What a model is fed: the settings of its spectrograms, of another feature, or of the samples themselves."""


def display_of(inputs: Sequence[Input]) -> RenderConfig:
    """Return how sounds are drawn: as the first model sees them, or else in segments of the same length."""
    for settings in inputs:
        if isinstance(settings, RenderConfig):
            return settings
    first = inputs[0]
    if isinstance(first, Waveform):
        return RenderConfig(mel=first.mel, segment=first.segment)
    return RenderConfig(segment=first.segment)


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """One segment of a recording."""

    number: int
    """Which of the inputs it is."""
    start: float
    """Its start, in seconds."""
    seconds: float
    """Length of the whole recording as its header promises, in seconds."""
    array: NDArray[Any]
    """What the model is fed."""


@dataclass(frozen=True, kw_only=True)
class Ending(Record):
    """What became of a recording; it follows its last segment."""

    seconds: float
    """Length as its header promises, in seconds; 0 where that cannot be read."""
    warnings: tuple[AudioWarning, ...] = ()
    """What is odd about it."""
    reason: str = ""
    """Why it cannot be used: one of AudioError's reasons, `memory` or `crashed`; empty where it can."""
    message: str = ""
    """The same in one line."""
    stamp: str = ""
    """Size and checksum of its file, if they were asked for."""
    signature: str = ""
    """What the file system knows of its file, likewise."""


def input_of(feature: FeatureFacts) -> Input:
    """Return what a model is fed.

    Raises
    ------
    ConfigError
        the settings are not those that the card's id is of, or a segment would take gigabytes.
    """
    settings = feature.render_config if feature.is_image else Extraction.of(feature)
    wanted = settings.config_id()
    require(feature.config_id == wanted, f"feature.config_id is {feature.config_id}, but its settings have {wanted}")
    rate = settings.mel.sample_rate if isinstance(settings, RenderConfig) else settings.sample_rate
    samples = settings.segment.seconds * rate
    require(samples <= LONGEST, f"a segment of {settings.segment.seconds:g} s at {rate} Hz takes too much memory")
    if isinstance(settings, RenderConfig):
        values = settings.mel.n_mels * samples / settings.mel.hop_length
        require(values <= LARGEST, f"a spectrogram of {values:.3g} values takes too much memory")
    return settings


def overlapping(settings: Input, overlap: float | None) -> Input:
    """Return them with segments that overlap so, unless that is None; raises ConfigError where it is no share."""
    return settings if overlap is None else replace(settings, segment=replace(settings.segment, overlap=overlap))


def input_to_json(settings: Input) -> dict[str, Any]:
    """Return the settings as plain JSON values, for a worker."""
    if isinstance(settings, Waveform):
        return {"kind": "waveform", "mel": settings.mel.to_dict(), "segment": settings.segment.to_dict()}
    kind = "mel" if isinstance(settings, RenderConfig) else settings.feature
    return {"kind": kind, "values": settings.to_dict()}


def input_from_json(values: Mapping[str, Any]) -> Input:
    """Build them from what `input_to_json` returned."""
    if values["kind"] == "waveform":
        mel, segment = MelConfig.from_dict(values["mel"]), SegmentConfig.from_dict(values["segment"])
        return Waveform(mel=mel, segment=segment)
    if values["kind"] == "mel":
        return RenderConfig.from_dict(values["values"])
    return Extraction.from_dict(values["kind"], values["values"])


def read_recording(path: Path, name: str, inputs: Sequence[Input], *, stamped: bool) -> Iterator[Piece | Ending]:
    """Yield the segments of a file for each of the inputs, and what became of it; memory is bounded by the segment.

    Parameters
    ----------
    path
        The file.
    name
        What messages call it.
    inputs
        What the models are fed; the file is read once for each.
    stamped
        Note size and checksum of the file.
    """
    seconds, stamp, known = 0.0, "", ""
    warnings: dict[AudioWarning, None] = {}  # each thing once, though the file is read several times

    def warn(warning: AudioWarning) -> None:
        warnings[replace(warning, message=warning.message.replace(str(path), name))] = None

    try:
        seconds = probe(path).seconds
        if stamped:
            known, stamp = _signature(path), source_stamp(path)
        for number, settings in enumerate(inputs):
            for start, array in _segments(path, settings, warn):
                yield Piece(number=number, start=start, seconds=seconds, array=array)
    except AudioError as error:
        message = str(error).replace(str(path), name)
        yield Ending(seconds=seconds, reason=error.reason, message=message, stamp=stamp, signature=known)
        return
    yield Ending(seconds=seconds, warnings=tuple(warnings), stamp=stamp, signature=known)


def _segments(
    path: Path, settings: Input, warn: Callable[[AudioWarning], None]
) -> Iterator[tuple[float, NDArray[Any]]]:
    if isinstance(settings, RenderConfig):
        return render_clip(path, settings, warn)
    if isinstance(settings, Waveform):
        return iter_waveforms(path, settings, warn)
    return extract_clip(path, settings, warn)


def _signature(path: Path) -> str:
    try:
        return signature(path)
    except OSError:  # what is missing is reported by who opens it
        return ""
