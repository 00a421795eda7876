"""Audio files in blocks: decoded, mixed down to mono, resampled once, never held whole in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from spectro.audio.containers.formats import AV_SUFFIXES, LIBSNDFILE_SUFFIXES
from spectro.audio.decoders import choice
from spectro.audio.decoders.stream import Stream, broken_off
from spectro.audio.info import AudioInfo, AudioWarning
from spectro.core.arrays import Floats32
from spectro.core.errors import AudioError

__all__ = ["AV_SUFFIXES", "SUFFIXES", "AudioInfo", "AudioWarning", "Sound", "open_sound", "probe"]

SUFFIXES = LIBSNDFILE_SUFFIXES | AV_SUFFIXES
"""Lower-case suffixes of the files that count as audio when a folder is scanned; `AV_SUFFIXES` of them need PyAV."""
BLOCK = 1 << 16
"""Frames read at once: few enough for a core's cache, enough to be worth the call."""
LOUD = 0.003
"""Root mean square, -50 dB of full scale, from which a block shows how the channels relate."""
CANCELLED = 1e-3
"""Share of the channels' energy below which their average counts as cancelled: -30 dB, as codecs leave some of it."""

most_samples: ContextVar[float] = ContextVar("most_samples", default=math.inf)
"""Samples, of all channels together, after which a file is given up (`too-long`), whatever its header claims."""


class Sound:
    """One audio file, open for reading once from start to end."""

    def __init__(self, path: Path, stream: Stream) -> None:
        self.path = path
        self._stream = stream
        self.info = AudioInfo(
            seconds=stream.frames / stream.sample_rate,
            sample_rate=stream.sample_rate,
            channels=stream.channels,
            frames=stream.frames,
            decoder=stream.decoder,
            codec=stream.codec,
            warnings=stream.warnings,
        )
        self.warnings = stream.warnings
        """Those of `info`, and what decoding showed: whole only when `blocks` has been read to its end."""

    def blocks(self, sample_rate: int) -> Iterator[Floats32]:
        """Yield the sound in mono, block by block.

        The channels, however many, are averaged with equal weights: left and right, and of surround sound also the
        centre, the low frequencies and the rear. Only where they cancel each other (one is the other turned upside
        down, as a wrongly wired cable makes it) the first channel is taken alone, for the whole file, with a warning
        `channels-cancel`; the first block above -50 dB decides. Then follows one soxr HQ pass, whose output does not
        depend on the blocks.

        The delay and padding that an MP3 encoder adds are left out where the file states them (LAME's tag). Where it
        does not, only the 529 samples that decoding itself delays are left out.

        Parameters
        ----------
        sample_rate
            Sample rate of the blocks, in Hz.

        Yields
        ------
        block
            `[n]` in -1..1; each block overwrites the one before.

        Raises
        ------
        AudioError
            `truncated`: there is less sound than the header says, or the decoder stopped at a damaged spot;
            `not-finite`: a sample is NaN or infinite; `too-long`: it exceeds `most_samples`.
        """
        resampler = None
        if sample_rate != self.info.sample_rate:
            resampler = soxr.ResampleStream(self.info.sample_rate, sample_rate, 1, dtype="float32", quality="HQ")
        for block in self._mono():
            yield block if resampler is None else resampler.resample_chunk(block)
        if resampler is not None:
            yield resampler.resample_chunk(np.empty(0, np.float32), last=True)

    def _mono(self) -> Iterator[Floats32]:
        stream, channels = self._stream, self.info.channels
        native = stream.native
        raw = np.empty((BLOCK, channels), np.int16 if native else np.float32)
        floats = np.empty((BLOCK, channels), np.float32) if native else raw
        mono = np.empty(BLOCK, np.float32)
        full_scale = 32768.0 if native else 1.0
        weights = np.full(channels, 1 / (full_scale * channels), np.float32)
        done, count, undecided, most = 0, BLOCK, channels > 1, most_samples.get()
        while count == BLOCK:
            count = stream.read(raw)
            done += count
            if done * channels > most:
                message = f"{self.path} exceeds {done / self.info.sample_rate:.0f} s, longer than is taken; cut it"
                raise AudioError("too-long", message)
            if channels > 1 and native:
                np.copyto(floats[:count], raw[:count])
            block = _average((raw if channels == 1 else floats)[:count], weights, mono[:count])
            if not native and not _finite(block):
                message = f"{self.path} holds samples that are NaN or infinite; export it again from its source"
                raise AudioError("not-finite", message)
            if undecided and count:
                cancel = _cancel(floats[:count], block, full_scale)
                undecided = cancel is None
                if cancel:
                    self._take_first(weights, full_scale)
                    block = _average(floats[:count], weights, mono[:count])
            yield block
        if done < self.info.frames - stream.slack:
            raise broken_off(self.path, done, self.info.sample_rate, self.info.frames, "the data ends")

    def _take_first(self, weights: NDArray[np.float32], full_scale: float) -> None:
        """Change the weights of the channels, and add the warning."""
        weights[:] = 0
        weights[0] = 1 / full_scale
        message = f"{self.path} has channels that cancel each other (opposite phase); the first was taken alone"
        self.warnings += (AudioWarning(reason="channels-cancel", message=message),)


def _average(samples: NDArray[Any], weights: Floats32, out: Floats32) -> Floats32:
    """Return the weighted sum of the channels `[n, channels]`; only a single one may be int16."""
    with np.errstate(over="ignore", invalid="ignore"):  # damaged floats, which `_finite` finds
        if samples.shape[1] == 1:
            np.multiply(samples[:, 0], weights[0], out=out)
        else:
            np.matmul(samples, weights, out=out)
    return out


def _finite(block: Floats32) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.dot(block, block))


def _cancel(floats: NDArray[Any], mono: Floats32, full_scale: float) -> bool | None:
    """Return whether the average of the channels `[n, channels]` is next to nothing; None if they are quiet too."""
    with np.errstate(over="ignore", invalid="ignore"):  # only the average is known to be finite
        energy = float(np.vdot(floats, floats)) / floats.shape[1] / full_scale**2
    if not energy / len(mono) > LOUD**2:
        return None
    return bool(np.dot(mono, mono) < CANCELLED * energy)


@contextmanager
def open_sound(path: Path) -> Iterator[Sound]:
    """Open an audio file.

    libsndfile decodes what it can, FFmpeg (through PyAV, if installed) the rest.

    Raises
    ------
    AudioError
        `missing`, `empty`, `unreadable`; `needs-av` if only PyAV could read it, which is not installed;
        `changed-format` if the sample rate or the channels change midway; `implausible` if the header claims what no
        recording has; or `truncated` if the container shows that.
    """
    with choice.open_stream(path) as stream:
        yield Sound(path, stream)


def probe(path: Path | str) -> AudioInfo:
    """Return what is known before decoding; raises AudioError as `open_sound` does.

    What FFmpeg reads is decoded once, for few of its formats state their exact length.
    """
    with open_sound(Path(path)) as sound:
        return sound.info
