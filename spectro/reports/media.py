"""Spectrograms and sound of examples as data URIs inside the page, within a budget."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import soundfile
from PIL import Image as Pillow

from spectro.audio.decode import open_sound
from spectro.core.arrays import Floats32, Image
from spectro.core.card import Card
from spectro.core.data_folder import DataFolder
from spectro.core.errors import AudioError, DataError, StorageError
from spectro.core.storage import join
from spectro.core.tables import Segment
from spectro.data.source import local_file
from spectro.data.store import Store, open_store
from spectro.plots.palette import magma
from spectro.reports.data_uri import data_uri
from spectro.reports.examples import Cell, Example

if TYPE_CHECKING:
    from spectro.reports.cam_overlay import CamOverlay  # imports torch, which a page without a network does not need

Key = TypeVar("Key", str, Cell)

SAMPLE_RATE = 22050
"""Sample rate of embedded sound, in Hz."""
LISTED = 20
"""Clips listed per cell of a confusion matrix; the others are counted."""


@dataclass
class Budget:
    """How much more may be embedded in a page."""

    segments: int = 120
    """Number of segments."""
    characters: int = 12_000_000
    """Length of all data URIs together."""
    missing: list[str] = field(default_factory=list)
    """Why spectrograms or sound that were wanted are missing."""

    def spend(self, *uris: str) -> bool:
        """Subtract a segment's data URIs from the budget, or return False when they do not fit."""
        length = sum(map(len, uris))
        if self.segments < 1 or length > self.characters:
            return False
        self.segments -= 1
        self.characters -= length
        return True


@dataclass(frozen=True)
class MediaSource:
    """The data folder that a run was trained on, if it exists."""

    store: Store

    @classmethod
    def of(cls, card: Card, data: Path | None, missing: list[str]) -> MediaSource | None:
        """Open the data that a card names, or `data` instead; where there is none, say why in `missing`."""
        if data is None and not card.data.path:
            missing.append("No spectrograms and no sound: the card names no data folder.")
            return None
        try:
            return cls(open_store(data or card.data.path, card.data.config_id))
        except (DataError, StorageError, OSError) as error:
            missing.append(f"No spectrograms and no sound: {error}.")
            return None

    @property
    def data(self) -> DataFolder:
        """The data folder."""
        return DataFolder.open(self.store.path.parent)

    @cached_property
    def segments(self) -> dict[str, Segment]:
        """Segments by id."""
        return {segment.id: segment for segment in self.store.segments}

    @cached_property
    def root(self) -> str:
        """Folder or URL of the audio files."""
        return self.data.source_place()

    def image(self, segment: Segment) -> Image:
        """Return a segment's spectrogram, `[bands, frames]`; raises DataError when it is missing or damaged."""
        return self.store.read(segment)

    def sound(self, segment: Segment) -> str:
        """Return a segment's sound, mono Ogg Vorbis, as a data URI; raises AudioError when it cannot be read."""
        start, length = round(segment.start * SAMPLE_RATE), round(segment.seconds * SAMPLE_RATE)
        blocks: list[Floats32] = []
        decoded = 0
        with local_file(self.root, segment.clip.id) as path, open_sound(path) as sound:
            for block in sound.blocks(SAMPLE_RATE):
                blocks.append(block.copy())
                decoded += len(block)
                if decoded >= start + length:
                    break
        samples = np.concatenate(blocks)[start : start + length] if blocks else np.zeros(0, np.float32)
        if not len(samples):
            raise AudioError("truncated", f"{join(self.root, segment.clip.id)} ends before {segment.start:g} s")
        file = io.BytesIO()
        with soundfile.SoundFile(
            file, "w", SAMPLE_RATE, 1, format="OGG", subtype="VORBIS", compression_level=0.8
        ) as encoder:
            for first in range(0, len(samples), SAMPLE_RATE):  # libsndfile's Vorbis encoder wants small blocks
                encoder.write(np.clip(samples[first : first + SAMPLE_RATE], -1, 1))
        return data_uri("audio/ogg", file.getvalue())


def embed(
    lists: Mapping[Key, Sequence[Example]], source: MediaSource, budget: Budget, overlay: CamOverlay | None = None
) -> dict[Key, tuple[Example, ...]]:
    """Return lists of examples with spectrograms and sound, as far as the budget reaches.

    Every list gets its first clip before any gets its second.

    Parameters
    ----------
    lists
        Examples; those without a segment stay as they are.
    source
        Where spectrograms and sound come from.
    budget
        What may be embedded; it is reduced, and takes the reasons where something is missing.
    overlay
        The network whose Grad-CAM layers are added.
    """
    embedded = {key: list(examples) for key, examples in lists.items()}
    wanted = sorted(
        (rank, key)
        for key, examples in embedded.items()
        for rank, example in enumerate(examples[:LISTED])
        if example.segment
    )
    silent = blank = ""
    for rank, key in wanted:
        segment = source.segments.get(embedded[key][rank].segment)
        if segment is None or budget.segments < 1:
            continue
        example, unseen, unheard = _with_media(embedded[key][rank], segment, source, overlay)
        silent, blank = silent or unheard, blank or unseen
        if budget.spend(example.image, example.overlay, example.sound):
            embedded[key][rank] = example
    if blank:
        budget.missing.append(f"Some spectrograms are missing: {blank}.")
    if silent:
        budget.missing.append(f"Some sound is missing: {silent}.")
    left_out = len(wanted) - sum(bool(one.image or one.sound) for examples in embedded.values() for one in examples)
    if left_out and not silent and not blank:
        budget.missing.append(f"{left_out} clips are listed by name only, to keep this file small.")
    return {key: tuple(examples) for key, examples in embedded.items()}


def _with_media(
    example: Example, segment: Segment, source: MediaSource, overlay: CamOverlay | None
) -> tuple[Example, str, str]:
    """Return an example with spectrogram, Grad-CAM layer and sound, and why spectrogram and sound are missing."""
    image = layer = sound = unseen = unheard = ""
    try:
        grey = source.image(segment)
        image, layer = coloured(grey), overlay.layer(grey, example.predicted) if overlay else ""
    except (DataError, StorageError, OSError) as error:
        unseen = str(error)
    try:
        sound = source.sound(segment)
    except (AudioError, DataError, StorageError, OSError) as error:
        unheard = str(error)
    span = f"{segment.start:.1f}\N{EN DASH}{segment.start + segment.seconds:.1f}\N{NARROW NO-BREAK SPACE}s"
    return replace(example, image=image, overlay=layer, sound=sound, span=span), unseen, unheard


def coloured(grey: Image) -> str:
    """Return a spectrogram in the colours of the report, as a data URI."""
    file = io.BytesIO()
    Pillow.fromarray(magma(grey)).save(file, "WEBP", quality=72, method=4)
    return data_uri("image/webp", file.getvalue())
