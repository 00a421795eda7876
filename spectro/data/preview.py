"""Contact sheets: a row of segments per class as one PNG, for people to look at before a model does."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from spectro.core.config import require
from spectro.core.errors import DataError
from spectro.core.tables import Segment
from spectro.data.store import Store, open_store

Pictures = NDArray[np.uint8]
Change = Callable[[Pictures, NDArray[np.int64]], Pictures]

WIDTH = 240  # pixels of one picture
GAP = 8
TITLE, CAPTION = 16, 10  # sizes of type, in pixels
INK, FAINT, PAPER = (30, 30, 30), (110, 110, 110), (255, 255, 255)


def contact_sheet(
    data: Path | str,
    out: Path | str,
    *,
    columns: int = 6,
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
    columns
        Number of segments of each class.
    seed
        Another seed draws other segments.
    config_id
        Which configuration, if there are several.
    augment
        What training does to pictures `[items, bands, frames]` with their indices in the store; if given, each row is
        followed by the same segments as training sees them.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ConfigError
        `columns` is less than 1.
    DataError
        there are no pictures, or one is missing or damaged.
    """
    require(columns >= 1, f"columns is {columns}, but must be at least 1")
    store = open_store(data, config_id)
    by_class: defaultdict[str, list[int]] = defaultdict(list)
    for item, segment in enumerate(store.segments):
        by_class[segment.clip.label].append(item)
    bands, frames = store.config.mel.n_mels, _read(store, store.segments[0]).shape[1]
    cell = (WIDTH, max(32, round(WIDTH * bands / frames)))
    strips = []
    for label, items in sorted(by_class.items()):
        chosen = _varied(store.segments, items, seed)[:columns]
        pictures = np.stack([_read(store, store.segments[item]) for item in chosen])
        captions = [store.segments[item].id for item in chosen]
        strips.append(_strip(f"{label}   {len(items)} segments", pictures, captions, cell, columns))
        if augment is not None:
            changed = augment(pictures, np.array(chosen))
            strips.append(_strip("", changed, ["as training sees it"] * len(chosen), cell, columns))
    page = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips) + GAP), PAPER)
    top = 0
    for strip in strips:
        page.paste(strip, (0, top))
        top += strip.height
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    page.save(temporary, format="PNG")
    os.replace(temporary, path)
    return path


def _varied(segments: Sequence[Segment], items: Sequence[int], seed: int) -> list[int]:
    """Order items so that no group comes twice before every group came once; the seed decides which come first."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for item in sorted(items, key=lambda item: _hash(seed, segments[item].id)):
        groups[segments[item].clip.group].append(item)
    rounds = zip_longest(*(groups[name] for name in sorted(groups, key=lambda name: _hash(seed, name))))
    return [item for item in chain.from_iterable(rounds) if item is not None]


def _hash(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\t{name}".encode()).digest()


def _read(store: Store, segment: Segment) -> Pictures:
    path = store.picture_path(segment)
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path} cannot be read ({error}); run `spectro render` again, it repairs only that") from None


def _strip(title: str, pictures: Pictures, captions: Sequence[str], cell: tuple[int, int], columns: int) -> Image.Image:
    """Draw a title, a row of pictures, and a caption below each."""
    head = TITLE + GAP if title else 0
    height = GAP + head + cell[1] + CAPTION + GAP // 2
    strip = Image.new("RGB", (GAP + columns * (cell[0] + GAP), height), PAPER)
    draw = ImageDraw.Draw(strip)
    if title:
        draw.text((GAP, GAP), title, fill=INK, font=ImageFont.load_default(TITLE))
    small = ImageFont.load_default(CAPTION)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = GAP + number * (cell[0] + GAP), GAP + head
        strip.paste(Image.fromarray(picture).resize(cell, Image.Resampling.BOX), (left, top))
        while draw.textlength(caption, font=small) > cell[0]:
            caption = f"…{caption[2:]}"  # the end tells segments of one folder apart
        draw.text((left, top + cell[1]), caption, fill=FAINT, font=small)
    return strip
