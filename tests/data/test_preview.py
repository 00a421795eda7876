"""Contact sheets: every class is on it, from different groups, the same for the same seed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spectro.core.arrays import Image as Grey
from spectro.core.arrays import Items
from spectro.core.errors import ConfigError, DataError
from spectro.data.preview import contact_sheet
from spectro.data.store import open_store


def test_a_sheet_has_a_row_for_every_class(rendered: Path, tmp_path: Path) -> None:
    with Image.open(contact_sheet(rendered, tmp_path / "new" / "sheet.png", per_class=3)) as image:
        page = np.asarray(image.convert("L"))
    filled = (page != 255).mean(axis=1) > 0.8  # pixel rows that spectrograms fill from left to right, and type does not
    assert (np.diff(filled.astype(int), prepend=0) == 1).sum() == 4
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "sheet.png"]


def test_the_seed_decides_what_is_drawn(rendered: Path, tmp_path: Path) -> None:
    first, again, other = (contact_sheet(rendered, tmp_path / f"{n}.png", seed=s) for n, s in enumerate((0, 0, 1)))
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()


def test_augmented_rows_show_the_same_segments(rendered: Path, tmp_path: Path) -> None:
    store = open_store(rendered)
    seen: list[Items] = []

    def invert(images: Grey, items: Items) -> Grey:
        assert all((store.spectrograms()[item] == image).all() for item, image in zip(items, images, strict=True))
        seen.append(items)
        return 255 - images

    plain = contact_sheet(rendered, tmp_path / "plain.png", per_class=2)
    both = contact_sheet(rendered, tmp_path / "both.png", per_class=2, augment=invert)
    assert len(seen) == 4
    for items in seen:
        assert len({store.segments[item].clip.group for item in items}) == 2
    with Image.open(plain) as a, Image.open(both) as b:
        assert a.width == b.width
        assert b.height > 1.5 * a.height


def test_what_cannot_be_drawn_is_one_clear_line(rendered: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="per_class is 0"):
        contact_sheet(rendered, tmp_path / "sheet.png", per_class=0)
    data = Path(shutil.copytree(rendered, tmp_path / "data"))
    for path in data.glob("mel-*/**/*.png"):
        path.write_bytes(b"damaged")
    with pytest.raises(DataError, match="repairs only that"):
        contact_sheet(data, tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
