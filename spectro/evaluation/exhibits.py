"""What a model got wrong, to look at and to listen to: one segment per confused clip, with its picture and sound."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from spectro.audio.decode import open_sound
from spectro.core.errors import AudioError, DataError
from spectro.core.predictions import Predictions
from spectro.core.tables import Segment
from spectro.data.store import Store, open_store
from spectro.evaluation.plots import timeline

SAMPLE_RATE = 22050
"""Sample rate of embedded sound, in Hz."""
LISTED = 20
"""Clips listed per cell of a confusion matrix; the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One clip in a cell of the confusion matrix."""

    clip: str
    true: str
    said: str
    confidence: float
    """Probability of the class said."""
    doubt: float
    """Probability of the true class."""
    segment: str = ""
    """Id of the segment that spoke loudest for the class said."""
    span: str = ""
    """Where in the clip it is, as `10.0-20.0 s`."""
    picture: str = ""
    """Its spectrogram as a data URI, or empty."""
    sound: str = ""
    """Its sound as a data URI, or empty."""
    timeline: str = ""
    """Probabilities over the clip's segments, as SVG."""


@dataclass
class Budget:
    """What may still be embedded in a page."""

    segments: int = 120
    """Number of segments."""
    characters: int = 12_000_000
    """Length of all data URIs together."""
    missing: list[str] = field(default_factory=list)
    """Why pictures or sounds that were wanted are not there."""

    def spend(self, *uris: str) -> bool:
        """Take a segment's data URIs off the budget, or return False when they no longer fit."""
        length = sum(map(len, uris))
        if self.segments < 1 or length > self.characters:
            return False
        self.segments -= 1
        self.characters -= length
        return True


@dataclass(frozen=True)
class Source:
    """The data folder that a run was made from, if it is at hand."""

    store: Store

    @classmethod
    def of(cls, card: Mapping[str, Any], data: Path | None, missing: list[str]) -> Source | None:
        """Open the data that a card names (or `data` instead); where it is not at hand, say why in `missing`."""
        named = (card.get("data") or {}).get("path")
        folder = data or (Path(named) if named else None)
        if folder is None:
            missing.append("The card does not name the data, so there are no pictures and sounds.")
            return None
        try:
            pictures = (card.get("data") or {}).get("pictures") or (card.get("feature") or {}).get("fingerprint")
            return cls(open_store(folder, pictures))
        except DataError as error:
            missing.append(f"There are no pictures and sounds, because the data is not at hand: {error}.")
            return None

    @cached_property
    def segments(self) -> dict[str, Segment]:
        """Segments by id."""
        return {segment.id: segment for segment in self.store.segments}

    @cached_property
    def root(self) -> Path:
        """Folder of the audio files."""
        source = self.store.path.parent / "source.json"
        try:
            return Path(json.loads(source.read_text(encoding="utf-8"))["root"])
        except (OSError, ValueError, KeyError):
            raise DataError(f"{source} does not say where the audio files are; render again") from None

    def picture(self, segment: Segment) -> str:
        """Return a segment's spectrogram in colour as a data URI."""
        with Image.open(self.store.picture_path(segment)) as image:
            grey = np.asarray(image.convert("L"))
        coloured = (matplotlib.colormaps["magma"](grey)[..., :3] * 255).round().astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(coloured).save(file, "WEBP", quality=72, method=4)
        return _data_uri("image/webp", file.getvalue())

    def sound(self, segment: Segment) -> str:
        """Return a segment's sound, mono Ogg Vorbis, as a data URI; raises AudioError when it cannot be read."""
        start, length = round(segment.start * SAMPLE_RATE), round(segment.seconds * SAMPLE_RATE)
        blocks: list[NDArray[np.float32]] = []
        have = 0
        with open_sound(self.root / segment.clip.id) as sound:
            for block in sound.blocks(SAMPLE_RATE):
                blocks.append(block.copy())
                have += len(block)
                if have >= start + length:
                    break
        samples = np.concatenate(blocks)[start : start + length]
        file = io.BytesIO()
        with soundfile.SoundFile(
            file, "w", SAMPLE_RATE, 1, format="OGG", subtype="VORBIS", compression_level=0.8
        ) as encoder:
            for first in range(0, len(samples), SAMPLE_RATE):  # libsndfile's Vorbis encoder wants small pieces
                encoder.write(np.clip(samples[first : first + SAMPLE_RATE], -1, 1))
        return _data_uri("audio/ogg", file.getvalue())


def exhibits(clips: Predictions, segments: Predictions | None = None) -> dict[tuple[int, int], list[Exhibit]]:
    """Return the clips of each cell (true, said): the most confident first, in the diagonal the least.

    Parameters
    ----------
    clips : predictions per clip, all with known truth
    segments : predictions of their segments, from which each confused clip gets its loudest one
    """
    members: dict[str, list[int]] = {}
    for item, clip in enumerate(segments.clip_ids if segments is not None else ()):
        members.setdefault(clip, []).append(item)
    cells: dict[tuple[int, int], list[Exhibit]] = {}
    for item, (true, said) in enumerate(zip(clips.truth.tolist(), clips.predicted.tolist(), strict=True)):
        made = Exhibit(
            clip=clips.ids[item],
            true=clips.labels[true],
            said=clips.labels[said],
            confidence=float(clips.probs[item, said]),
            doubt=float(clips.probs[item, true]),
        )
        if segments is not None and true != said and clips.ids[item] in members:
            own = segments.select(members[clips.ids[item]])
            loudest = int(own.probs[:, said].argmax())
            drawn = timeline(own.probs[:, true].tolist(), own.probs[:, said].tolist(), loudest)
            made = replace(made, segment=own.ids[loudest], timeline=drawn if len(own) > 1 else "")
        cells.setdefault((true, said), []).append(made)
    for (true, said), shown in cells.items():
        shown.sort(key=lambda one: one.confidence, reverse=true != said)
    return cells


def embed(
    cells: Mapping[tuple[int, int], Sequence[Exhibit]], source: Source, budget: Budget
) -> dict[tuple[int, int], list[Exhibit]]:
    """Return the cells with pictures and sounds of confused clips, as far as the budget reaches.

    Every cell gets its first clip before any gets its second.
    """
    made = {cell: list(shown) for cell, shown in cells.items()}
    wanted = [
        (rank, cell) for cell, shown in made.items() if cell[0] != cell[1] for rank in range(min(LISTED, len(shown)))
    ]
    unheard = 0
    for rank, cell in sorted(wanted):
        segment = source.segments.get(made[cell][rank].segment)
        if segment is None or budget.segments < 1:
            continue
        try:
            picture = source.picture(segment)
        except OSError:
            picture = ""
        try:
            sound = source.sound(segment)
        except (AudioError, DataError) as error:
            sound = ""
            unheard += 1
            if unheard == 1:
                budget.missing.append(f"Some sound is not at hand: {error}.")
        if budget.spend(picture, sound):
            span = f"{segment.start:.1f}\N{EN DASH}{segment.start + segment.seconds:.1f} s"
            made[cell][rank] = replace(made[cell][rank], picture=picture, sound=sound, span=span)
    left_out = len(wanted) - sum(bool(one.picture or one.sound) for one in _flat(made.values()))
    if left_out and not unheard:
        budget.missing.append(f"{left_out} confused clips are listed by name only, to keep this file small.")
    return made


def _flat(cells: Iterable[Sequence[Exhibit]]) -> Iterable[Exhibit]:
    return (one for shown in cells for one in shown)


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
