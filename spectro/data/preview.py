"""Draw a contact sheet: a row of spectrograms per class as one PNG, to look at before training."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from spectro.core.arrays import Image, Items
from spectro.core.config import require
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError
from spectro.core.files import replacing
from spectro.core.tables import Segment
from spectro.data import png
from spectro.data.store import open_store, picture_shape

Change = Callable[[Image, Items], Image]

MARK = "spectro contact sheet"
WIDTH = 240  # pixels of one spectrogram
GAP = 8
TITLE, CAPTION = 16, 10  # sizes of type, in pixels
INK, FAINT, PAPER = (30, 30, 30), (110, 110, 110), (255, 255, 255)


def contact_sheet(
    data: DataFolder | Path | str,
    out: Path | str,
    *,
    per_class: int = 6,
    seed: int = 0,
    config_id: str | None = None,
    augment: Change | None = None,
) -> Path:
    """Draw some segments of every class, each from another group as far as there are groups.

    Parameters
    ----------
    data
        Folder that `render` made.
    out
        PNG to write.
    per_class
        Number of segments of each class.
    seed
        Another seed draws other segments.
    config_id
        Which configuration, if there are several.
    augment
        What training does to spectrograms `[items, bands, frames]` with their indices in the store; if given, each row
        is followed by the same segments as training sees them.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ConfigError
        `per_class` is less than 1.
    DataError
        there are no spectrograms, one is missing or damaged, or `out` is there and is another kind of file.
    """
    require(per_class >= 1, f"per_class is {per_class}, but must be at least 1")
    path = Path(out)
    _require_own(path)
    store = open_store(data, config_id)
    by_class: defaultdict[str, list[int]] = defaultdict(list)
    for item, segment in enumerate(store.segments):
        by_class[segment.clip.label].append(item)
    bands, frames = store.config.mel.n_mels, picture_shape(store.config)[1]
    cell = (WIDTH, max(32, round(WIDTH * bands / frames)))
    strips = []
    for label, items in sorted(by_class.items()):
        chosen = _varied(store.segments, items, seed)[:per_class]
        images = np.stack([store.read(store.segments[item]) for item in chosen])
        captions = [store.segments[item].id for item in chosen]
        strips.append(_strip(f"{label}   {len(items)} segments", images, captions, cell, per_class))
        if augment is not None:
            changed = augment(images, np.array(chosen))
            strips.append(_strip("", changed, ["as training sees it"] * len(chosen), cell, per_class))
    with replacing(path) as temporary:
        _stack(strips).save(temporary, format="PNG", pnginfo=_mark())
    return path


def _mark() -> PngInfo:
    info = PngInfo()
    info.add_text("Software", MARK)
    return info


def _require_own(path: Path) -> None:
    """Raise DataError where a file to be written is there and is no contact sheet."""
    if os.path.lexists(path) and MARK.encode() not in (png.read(path) or b"")[:4096]:
        raise DataError(f"{path} is there, and is not a contact sheet; remove it, or write another file")


def _varied(segments: Sequence[Segment], items: Sequence[int], seed: int) -> list[int]:
    """Order items so that no group comes twice before every group came once; the seed decides which come first."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for item in sorted(items, key=lambda item: _hash(seed, segments[item].id)):
        groups[segments[item].clip.group].append(item)
    rounds = zip_longest(*(groups[name] for name in sorted(groups, key=lambda name: _hash(seed, name))))
    return [item for item in chain.from_iterable(rounds) if item is not None]


def _hash(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\t{name}".encode()).digest()


def _strip(title: str, images: Image, captions: Sequence[str], cell: tuple[int, int], per_class: int) -> Pillow.Image:
    """Draw a title, a row of spectrograms, and a caption below each."""
    head = TITLE + GAP if title else 0
    height = GAP + head + cell[1] + CAPTION + GAP // 2
    strip = Pillow.new("RGB", (GAP + per_class * (cell[0] + GAP), height), PAPER)
    draw = ImageDraw.Draw(strip)
    if title:
        draw.text((GAP, GAP), title, fill=INK, font=ImageFont.load_default(TITLE))
    small = ImageFont.load_default(CAPTION)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = GAP + number * (cell[0] + GAP), GAP + head
        strip.paste(Pillow.fromarray(image).resize(cell, Pillow.Resampling.BOX), (left, top))
        while draw.textlength(caption, font=small) > cell[0]:
            caption = f"…{caption[2:]}"  # the end distinguishes segments of one folder
        draw.text((left, top + cell[1]), caption, fill=FAINT, font=small)
    return strip


def _stack(strips: Sequence[Pillow.Image]) -> Pillow.Image:
    """Return a page with the strips below each other."""
    page = Pillow.new("RGB", (strips[0].width, sum(strip.height for strip in strips) + GAP), PAPER)
    top = 0
    for strip in strips:
        page.paste(strip, (0, top))
        top += strip.height
    return page
