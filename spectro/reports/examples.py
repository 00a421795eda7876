"""Clips to look at and to listen to: one segment of each, with its picture, its sound, and what the network heeded."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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
from spectro.plots.svg import timeline

if TYPE_CHECKING:
    from spectro.reports.cam_overlay import Overlays  # imports torch, which a page without a network does without

Key = TypeVar("Key", str, tuple[int, int])

SAMPLE_RATE = 22050
"""Sample rate of embedded sound, in Hz."""
LISTED = 20
"""Clips listed per cell of a confusion matrix; the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One clip, with one segment of it that stands for it."""

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
    overlay: str = ""
    """What the network heeded in the picture for the class said, as a see-through data URI, or empty."""
    timeline: str = ""
    """Probabilities of `below` and `above` over the clip's segments, as SVG; empty where there is one segment."""
    below: str = ""
    """The class that the timeline draws from below: the true one, if it is one of the two."""
    above: str = ""
    """The class that it draws from above."""
    runner_up: str = ""
    """The class said second, with its probability as `margin` below that of the class said."""
    margin: float = 0.0
    doubted: bool = False
    """Whether confident learning doubts the label."""


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
            pictures = (card.get("data") or {}).get("pictures") or (card.get("feature") or {}).get("config_id")
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

    def picture(self, segment: Segment) -> NDArray[np.uint8]:
        """Return a segment's spectrogram, `[bands, frames]`; raises OSError when it cannot be read."""
        with Image.open(self.store.picture_path(segment)) as image:
            return np.array(image.convert("L"))

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
        return data_uri("audio/ogg", file.getvalue())


def exhibits(clips: Predictions, segments: Predictions | None = None) -> dict[tuple[int, int], list[Exhibit]]:
    """Return the clips of each cell (true, said): the most confident first, in the diagonal the least.

    Parameters
    ----------
    clips : predictions per clip, all with known truth
    segments : predictions of their segments, from which each confused clip gets its loudest one
    """
    members = members_of(segments)
    cells: dict[tuple[int, int], list[Exhibit]] = {}
    for item, (true, said) in enumerate(zip(clips.truth.tolist(), clips.predicted.tolist(), strict=True)):
        own = None if segments is None or true == said else segments.select(members.get(clips.ids[item], []))
        cells.setdefault((true, said), []).append(exhibit(clips, item, own))
    for (true, said), shown in cells.items():
        shown.sort(key=lambda one: one.confidence, reverse=true != said)
    return cells


def members_of(segments: Predictions | None) -> dict[str, list[int]]:
    """Return the segments of each clip, as indices."""
    members: dict[str, list[int]] = {}
    for item, clip in enumerate(segments.clip_ids if segments is not None else ()):
        members.setdefault(clip, []).append(item)
    return members


def exhibit(clips: Predictions, item: int, own: Predictions | None) -> Exhibit:
    """Return one clip; with predictions of its segments, also the one that spoke loudest and how they voted."""
    order = np.argsort(-clips.probs[item], kind="stable").tolist()
    said, second = order[0], order[min(1, len(order) - 1)]
    true = int(clips.truth[item])
    made = Exhibit(
        clip=clips.ids[item],
        true=clips.labels[true],
        said=clips.labels[said],
        confidence=float(clips.probs[item, said]),
        doubt=float(clips.probs[item, true]),
        runner_up=clips.labels[second],
        margin=float(clips.probs[item, said] - clips.probs[item, second]),
    )
    if own is None or not len(own):
        return made
    below, above = (true, said) if true != said else (said, second)
    loudest = int(own.probs[:, said].argmax())
    drawn = timeline(own.probs[:, below].tolist(), own.probs[:, above].tolist(), loudest)
    return replace(
        made,
        segment=own.ids[loudest],
        timeline=drawn if len(own) > 1 else "",
        below=clips.labels[below],
        above=clips.labels[above],
    )


def embed(
    lists: Mapping[Key, Sequence[Exhibit]], source: Source, budget: Budget, overlays: Overlays | None = None
) -> dict[Key, list[Exhibit]]:
    """Return the lists with pictures and sounds of the clips that have a segment, as far as the budget reaches.

    Every list gets its first clip before any gets its second.
    """
    made = {key: list(shown) for key, shown in lists.items()}
    wanted = sorted(
        (rank, key) for key, shown in made.items() for rank, one in enumerate(shown[:LISTED]) if one.segment
    )
    unheard = 0
    for rank, key in wanted:
        one = made[key][rank]
        segment = source.segments.get(one.segment)
        if segment is None or budget.segments < 1:
            continue
        picture = overlay = sound = ""
        try:
            grey = source.picture(segment)
            picture, overlay = _coloured(grey), overlays.layer(grey, one.said) if overlays else ""
        except OSError:
            pass
        try:
            sound = source.sound(segment)
        except (AudioError, DataError) as error:
            unheard += 1
            if unheard == 1:
                budget.missing.append(f"Some sound is not at hand: {error}.")
        if budget.spend(picture, overlay, sound):
            span = f"{segment.start:.1f}\N{EN DASH}{segment.start + segment.seconds:.1f} s"
            made[key][rank] = replace(one, picture=picture, overlay=overlay, sound=sound, span=span)
    left_out = len(wanted) - sum(bool(one.picture or one.sound) for shown in made.values() for one in shown)
    if left_out and not unheard:
        budget.missing.append(f"{left_out} clips are listed by name only, to keep this file small.")
    return made


def _coloured(grey: NDArray[np.uint8]) -> str:
    coloured = (matplotlib.colormaps["magma"](grey)[..., :3] * 255).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(coloured).save(file, "WEBP", quality=72, method=4)
    return data_uri("image/webp", file.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """Return a file as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
