"""Acoustic fingerprints, robust to codecs, noise, gain and another start, and a search for repeated sound.

Chromaprint's Python bindings need its C library or `fpcalc` from the operating system, so the landmark method of
A. Wang, "An industrial-strength audio search algorithm", ISMIR 2003, is implemented here: pairs of spectral peaks
propose two clips and an offset, and the correlation of the two aligned spectrograms decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from spectro.audio.decode import open_sound
from spectro.audio.stft import power_spectra
from spectro.core.arrays import Floats32, Items

Hashes = NDArray[np.uint32]
Frames = NDArray[np.int32]

RATE = 11025  # Hz; codecs drop what is above 5.5 kHz first
N_FFT, HOP = 1024, 256  # 93 ms every 23 ms: a copy's windows are at most 12 ms beside the original's
PIECE = 60 * RATE  # samples analysed at once, so that a long recording does not fill the memory
NEIGHBOURHOOD = (21, 17)  # frames and bins over which a landmark is the highest peak
LOWEST_BIN = 4  # rumble and DC make no landmarks
FLOOR_DB = 55.0  # peaks further below the piece's highest are noise
FAN = 8  # later peaks that each peak is paired with
LONGEST, WIDEST = 64, 64  # frames and bins that a pair spans at most
EDGES = np.unique(np.geomspace(LOWEST_BIN, 450, 33).astype(int))  # outline bands: 43 Hz to 4.8 kHz, logarithmic
STEP = 4  # frames averaged in the outline
OUTLINE_DB = 50.0  # range of the outline: what is quieter is codec and room
MIN_ALIGNED = 6  # pairs of peaks that agree on one offset before the outlines are compared
MIN_OVERLAP = 1.5  # seconds that two clips must share
CROWDED = 10_000  # a hash that occurs as often identifies nothing
ENTRIES = 20_000  # occurrences that may be looked at for each clip; of many clips, only the rarer hashes are compared
SAMPLE = 1000  # clips by which recall is estimated


@dataclass(frozen=True, kw_only=True, eq=False)
class Fingerprint:
    """The acoustic fingerprint of one clip: about 30 kB for 30 s."""

    sha256: str
    """Hash of the decoded samples: equal for a WAV and its FLAC."""
    hashes: Hashes
    """`[pairs]`, two peaks' frequencies and the time between them."""
    frames: Frames
    """`[pairs]`, frame of the earlier peak."""
    outline: Floats32 | NDArray[np.float16]
    """`[bands, frames / 4]`, spectrogram in dB below its peak, -50..0; in half precision where many are kept."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """Two clips that share sound."""

    first: int
    """Index of one clip."""
    second: int
    """Index of the other, larger than `first`."""
    offset: float
    """Seconds by which the shared sound comes later in `second` than in `first`."""
    similarity: float
    """Correlation of the aligned spectrograms: 1 for a copy, around 0.9 for a noisy low-bitrate one, below 0.4 for
    different music."""


@dataclass(frozen=True, kw_only=True)
class Recall:
    """How many of the pairs in a sample of clips a search finds that leaves hashes out."""

    clips: int
    """Clips in the sample; 0 where no hashes were left out, so that nothing is missed for that."""
    pairs: int
    """Pairs of one of them with any clip that shares sound, by all hashes."""
    found: int
    """Those that are found all the same."""


def fingerprint_one(path: Path) -> Fingerprint:
    """Read one audio file in blocks and return its fingerprint.

    Parameters
    ----------
    path
        The audio file.

    Returns
    -------
    Fingerprint

    Raises
    ------
    AudioError
        the file cannot be decoded.
    """
    digest = hashlib.sha256()
    hashes, frames, outlines, begin = [], [], [], 0
    with open_sound(path) as sound:
        for piece in _pieces(sound.blocks(RATE)):
            digest.update(piece.tobytes())
            power = np.concatenate([block.copy() for block in power_spectra(piece, N_FFT, HOP)])
            own_hashes, own_frames = _landmarks(power)
            hashes.append(own_hashes)
            frames.append(own_frames + begin)
            outlines.append(_outline(power))
            begin += outlines[-1].shape[1] * STEP
    return Fingerprint(
        sha256=digest.hexdigest(),
        hashes=np.concatenate(hashes),
        frames=np.concatenate(frames),
        outline=np.concatenate(outlines, axis=1),
    )


def _pieces(blocks: Iterator[Floats32]) -> Iterator[Floats32]:
    """Join blocks to pieces of `PIECE` samples, the last one shorter."""
    waiting, count = [np.zeros(0, np.float32)], 0
    for block in blocks:
        waiting.append(block.copy())
        count += len(block)
        while count >= PIECE:
            joined = np.concatenate(waiting)
            yield joined[:PIECE]
            waiting, count = [joined[PIECE:]], count - PIECE
    yield np.concatenate(waiting)


def _landmarks(power: Floats32) -> tuple[Hashes, Frames]:
    """Return hash and frame of the pairs of peaks in a power spectrogram `[frames, bins]`."""
    decibel = 10 * np.log10(power + 1e-12)
    peak = (decibel == maximum_filter(decibel, size=NEIGHBOURHOOD)) & (decibel > decibel.max() - FLOOR_DB)
    peak[:, :LOWEST_BIN] = False
    frame, bin_ = np.nonzero(peak & (power > 1e-9))
    hashes, frames = [], []
    for later in range(1, FAN + 1):
        between, rise = frame[later:] - frame[:-later], bin_[later:] - bin_[:-later]
        near = (between > 1) & (between < LONGEST) & (np.abs(rise) < WIDEST)
        hashes.append((((bin_[:-later] << 7) + rise + WIDEST << 6) + between)[near].astype(np.uint32))
        frames.append(frame[:-later][near].astype(np.int32))
    return np.concatenate(hashes), np.concatenate(frames)


def _outline(power: Floats32) -> Floats32:
    """Return `[bands, frames / 4]` in dB below the peak, floored."""
    bands = np.add.reduceat(power, EDGES, axis=1)[:, :-1]
    steps = len(bands) // STEP
    coarse = bands[: steps * STEP].reshape(steps, STEP, len(EDGES) - 1).mean(axis=1)
    decibel = 10 * np.log10(coarse + 1e-12)
    outline: Floats32 = np.maximum(decibel - decibel.max(initial=-120.0), -OUTLINE_DB).T.astype(np.float32)
    return outline


def find_duplicates(prints: Sequence[Fingerprint], *, min_similarity: float = 0.6) -> Iterator[Match]:
    """Find the pairs of clips that share sound, at any offset.

    With many clips, the hashes that occur most often are left out, so that the work for each clip stays the same:
    `estimate_recall` measures what that costs.

    Parameters
    ----------
    prints
        Fingerprints of all clips.
    min_similarity
        Similarity from which a pair counts, 0 to 1.

    Yields
    ------
    Match
        Ordered by `first`, then `second`.
    """
    if not prints:
        return
    index = _Index.of(prints)
    index = index.without(index.crowded(ENTRIES * len(prints)))
    for first in range(len(prints)):
        yield from index.matches(prints, first, min_similarity)


def estimate_recall(prints: Sequence[Fingerprint], *, min_similarity: float = 0.6) -> Recall:
    """Compare some clips with all others by all hashes, and count how many of their pairs `find_duplicates` finds.

    Parameters
    ----------
    prints
        Fingerprints of all clips.
    min_similarity
        As `find_duplicates` was called with.

    Returns
    -------
    Recall
        Of a sample of 1,000 clips, or of none where all hashes are compared anyway.
    """
    index = _Index.of(prints)
    limit = index.crowded(ENTRIES * len(prints))
    if limit >= CROWDED:
        return Recall(clips=0, pairs=0, found=0)
    sample = np.random.default_rng(0).permutation(len(prints))[:SAMPLE].tolist()

    def pairs(index: _Index) -> set[frozenset[int]]:
        found = (one for clip in sample for one in index.matches(prints, clip, min_similarity, later=False))
        return {frozenset((one.first, one.second)) for one in found}

    exact, found = pairs(index), pairs(index.without(limit))
    return Recall(clips=len(sample), pairs=len(exact), found=len(exact & found))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Index:
    """Every hash of every clip, sorted by hash."""

    hashes: Hashes
    frames: Frames
    owner: NDArray[np.int32]
    """Index of the clip."""

    @classmethod
    def of(cls, prints: Sequence[Fingerprint]) -> _Index:
        """Return the index of all fingerprints."""
        hashes = np.concatenate([one.hashes for one in prints] or [np.zeros(0, np.uint32)])
        order = np.argsort(hashes, kind="stable")
        owner = np.repeat(np.arange(len(prints), dtype=np.int32), [len(one.hashes) for one in prints])[order]
        frames = np.concatenate([one.frames for one in prints] or [np.zeros(0, np.int32)])[order]
        return cls(hashes=hashes[order], frames=frames, owner=owner)

    def crowded(self, entries: int) -> int:
        """Return how often a hash may occur for so many pairs of occurrences in all, or `CROWDED`."""
        counts = self._counts()
        values, numbers = np.unique(counts[counts < CROWDED], return_counts=True)
        pairs = np.cumsum(numbers * values.astype(np.int64) ** 2)
        allowed = np.searchsorted(pairs, entries, "right")
        return CROWDED if allowed == len(values) else int(values[allowed])

    def without(self, limit: int) -> _Index:
        """Return the index without the hashes that occur that often, or more."""
        counts = self._counts()
        kept = np.repeat(counts < limit, counts)
        return _Index(hashes=self.hashes[kept], frames=self.frames[kept], owner=self.owner[kept])

    def matches(
        self, prints: Sequence[Fingerprint], first: int, min_similarity: float, *, later: bool = True
    ) -> Iterator[Match]:
        """Yield the clips that share sound with one: the later ones, or all."""
        one = prints[first]
        begin = np.searchsorted(self.hashes, one.hashes, "left")
        count = np.searchsorted(self.hashes, one.hashes, "right") - begin
        count[count >= CROWDED] = 0
        entry = np.repeat(begin - (np.cumsum(count) - count), count) + np.arange(count.sum())
        wanted = self.owner[entry] > first if later else self.owner[entry] != first
        offset = (self.frames[entry] - np.repeat(one.frames, count))[wanted]
        for second, shift in _aligned(self.owner[entry][wanted].astype(np.int64), offset):
            similarity = _correlation(one, prints[second], shift)
            if similarity >= min_similarity:
                seconds = round(shift * HOP / RATE, 2)
                yield Match(first=first, second=second, offset=seconds, similarity=round(similarity, 3))

    def _counts(self) -> Items:
        """Return how often each hash occurs, in order."""
        begins = np.flatnonzero(np.diff(self.hashes, prepend=self.hashes[:1] + 1))
        return np.diff(begins, append=len(self.hashes))


def _aligned(owner: Items, offset: Frames) -> Iterator[tuple[int, int]]:
    """Yield each clip that agrees on one offset often enough, and that offset in frames."""
    span = 1 << 32  # wider than any difference of two frames
    key, count = np.unique(owner * span + offset + span // 2, return_counts=True)
    beside = np.append(np.where(np.diff(key) == 1, count[1:], 0), 0)  # a true offset may be between two frames
    best: dict[int, tuple[int, int]] = {}
    for index in np.flatnonzero(count + beside >= MIN_ALIGNED):
        clip, shift = divmod(int(key[index]), span)
        best[clip] = max(best.get(clip, (0, 0)), (int(count[index] + beside[index]), shift - span // 2))
    yield from ((clip, shift) for clip, (_, shift) in sorted(best.items()))


def _correlation(one: Fingerprint, other: Fingerprint, shift: int) -> float:
    """Return the correlation of two outlines, the second `shift` frames later, each band about its own mean."""
    first, second = (part.outline.astype(np.float32, copy=False) for part in (one, other))
    highest = 0.0
    for steps in range(shift // STEP - 1, shift // STEP + 3):
        a, b = first[:, max(-steps, 0) :], second[:, max(steps, 0) :]
        width = min(a.shape[1], b.shape[1])
        if width * STEP * HOP < MIN_OVERLAP * RATE:
            continue
        a, b = (part[:, :width] - part[:, :width].mean(axis=1, keepdims=True) for part in (a, b))
        power = float((a * a).sum()) * float((b * b).sum())
        highest = max(highest, float((a * b).sum()) / power**0.5 if power > 0 else 0.0)
    return highest
