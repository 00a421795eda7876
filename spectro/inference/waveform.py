"""Segments as samples, for an exported model that computes its own spectrograms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectro.audio.decode import AudioWarning
from spectro.audio.features.mel import mel_spectrogram, silent
from spectro.audio.segment import iter_segments
from spectro.core.arrays import Floats32
from spectro.core.config import MelConfig, SegmentConfig
from spectro.core.errors import AudioError


@dataclass(frozen=True, kw_only=True)
class Waveform:
    """How recordings become samples."""

    mel: MelConfig
    """Its sample rate is that of the samples; the other settings decide what counts as silence."""
    segment: SegmentConfig
    """How they are cut."""


def iter_waveforms(
    path: Path | str, waveform: Waveform, on_warning: Callable[[AudioWarning], object] | None = None
) -> Iterator[tuple[float, Floats32]]:
    """Yield the samples of each segment of one audio file; what is silent is what `render_clip` counts as silent.

    Parameters
    ----------
    path
        The audio file.
    waveform
        Sample rate and segments.
    on_warning
        Called with what is odd about the file.

    Yields
    ------
    start, samples
        Start in seconds, and `[n]`, each a copy.

    Raises
    ------
    AudioError
        the file cannot be used, or is silent from start to end; possibly after some segments.
    """
    early: list[float] = []  # starts of silent segments at the beginning: kept back until the first sound
    sounding = False
    for start, samples in iter_segments(Path(path), waveform.mel.sample_rate, waveform.segment, on_warning):
        if not sounding:
            if silent(mel_spectrogram(samples, waveform.mel)):
                early.append(start)
                continue
            sounding = True
            yield from ((begin, np.zeros_like(samples)) for begin in early)
        yield start, samples.copy()
    if not sounding:
        raise AudioError("silent", f"{path} is digital silence from start to end; fetch or export it again")
