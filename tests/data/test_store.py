"""The store: packed spectrograms follow their PNG files, and what is missing or damaged says what to run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spectro.core.config import RenderConfig
from spectro.core.errors import DataError
from spectro.data import png
from spectro.data.render import render
from spectro.data.store import Store, open_store


@pytest.fixture
def store(source: Path, tmp_path: Path, small: RenderConfig) -> Store:
    return render(source, out=tmp_path / "data", config=small, workers=1).store


def test_packed_spectrograms_follow_their_png_files(store: Store) -> None:
    assert not store.spectrograms().flags.writeable
    path = store.picture_path(store.segments[5])
    tags = png.read_tags(path)
    assert tags is not None
    png.write(path, np.full((32, 44), 7, np.uint8), tags)
    assert (store.spectrograms()[5] == 7).all()
    png.write(path, np.full((32, 40), 7, np.uint8), tags)
    with pytest.raises(DataError, match=r"measures \(32, 40\), not \(32, 44\)"):
        store.spectrograms()
    png.write(path, np.full((32, 44), 7, np.uint8), {**tags, "config_id": "another"})
    with pytest.raises(DataError, match=r"other settings.*another"):
        store.spectrograms()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="is damaged"):
        store.spectrograms()
    path.unlink()
    with pytest.raises(DataError, match=r"is missing; run `spectro render` again"):
        store.spectrograms()


@pytest.mark.parametrize("name", ["packed.npy", "packed.json"])
@pytest.mark.parametrize("kept", [None, 0, 100, -1])
def test_a_damaged_pack_is_made_again(store: Store, name: str, kept: int | None) -> None:
    before = np.array(store.spectrograms())
    path = store.path / name
    whole = path.read_bytes()
    if kept is None:
        path.unlink()
    else:
        path.write_bytes(whole[:kept])
    assert np.array_equal(store.spectrograms(), before)


def test_missing_or_unfinished_data_says_what_to_run(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="spectro render SOURCE --out"):
        open_store(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no spectrograms"):
        open_store(tmp_path / "empty")
    (store.path / "segments.csv").unlink()
    with pytest.raises(DataError, match="did not finish"):
        open_store(tmp_path / "data")
    settings = store.path / "config.json"
    settings.write_text(settings.read_text().replace("22050", "16000"))
    with pytest.raises(DataError, match=r"config.json was changed after .*; remove its folder and render again"):
        open_store(tmp_path / "data")
