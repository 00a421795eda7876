"""The store: packed spectrograms follow their PNG files, and what is missing or damaged says what to run."""

from __future__ import annotations

import os
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from spectro.core.config import RenderConfig
from spectro.core.errors import BusyError, DataError
from spectro.core.locks import writing
from spectro.data import png, storage
from spectro.data import store as module
from spectro.data.render import render
from spectro.data.store import Store, open_store


@pytest.fixture
def store(source: Path, tmp_path: Path, small: RenderConfig) -> Store:
    return render(source, out=tmp_path / "data", config=small, workers=1).store


def again(store: Store) -> Store:
    return open_store(store.path.parent)


def test_packed_spectrograms_follow_their_png_files(store: Store) -> None:
    assert not store.spectrograms().flags.writeable
    path = store.picture_path(store.segments[5])
    tags = png.read_tags(path)
    assert tags is not None
    png.write(path, np.full((32, 44), 7, np.uint8), tags)
    assert (again(store).spectrograms()[5] == 7).all()
    png.write(path, np.full((32, 40), 7, np.uint8), tags)
    with pytest.raises(DataError, match=r"measures \(32, 40\), not \(32, 44\)"):
        again(store).spectrograms()
    png.write(path, np.full((32, 44), 7, np.uint8), {**tags, "config_id": "another"})
    with pytest.raises(DataError, match=r"other settings.*another"):
        again(store).spectrograms()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="is damaged"):
        again(store).spectrograms()
    path.unlink()
    with pytest.raises(DataError, match=r"is missing; run `spectro render` again"):
        again(store).spectrograms()


def test_a_reader_keeps_the_spectrograms_that_it_opened(store: Store) -> None:
    before, digest = np.array(store.spectrograms()), store.digest()
    path = store.picture_path(store.segments[5])
    png.write(path, np.full((32, 44), 7, np.uint8), png.read_tags(path) or {})
    again(store).spectrograms()
    assert np.array_equal(store.spectrograms(), before)
    assert store.digest() == digest != again(store).digest()


def test_a_png_of_equal_size_and_time_is_noticed(store: Store) -> None:
    store.spectrograms()
    path = store.picture_path(store.segments[5])
    status, whole = path.stat(), path.read_bytes()
    other = np.array(store.spectrograms()[5])
    for value in range(256):  # until one is as large
        other[0, 0] = value
        data = png.encode(other, png.read_tags(path) or {})
        if len(data) == len(whole) and data != whole:
            break
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert np.array_equal(again(store).spectrograms()[5], other)


def test_a_copied_folder_is_not_packed_again(store: Store, tmp_path: Path) -> None:
    digest = store.digest()
    store.spectrograms()
    shutil.copytree(tmp_path / "data", tmp_path / "copy", copy_function=shutil.copy)
    copy = open_store(tmp_path / "copy")
    inode = (copy.path / "packed.npy").stat().st_ino
    assert copy.digest() == digest
    copy.spectrograms()
    assert (copy.path / "packed.npy").stat().st_ino == inode


@pytest.mark.parametrize("name", ["packed.npy", "packed.json", "pictures.json"])
def test_a_damaged_pack_is_made_again(store: Store, name: str) -> None:
    before = np.array(store.spectrograms())
    again(store).digest()  # by now the note of what the file system knows is there
    whole = (store.path / name).read_bytes() if (store.path / name).exists() else b"{}"
    chance = random.Random(0)
    damages: list[Callable[[], bytes | None]] = [lambda: None, lambda: b"", lambda: bytes(len(whole))]
    damages += [lambda cut=cut: whole[:cut] for cut in (1, 100, len(whole) // 2, len(whole) - 1)]  # type: ignore[misc]
    for _ in range(8):
        flipped = bytearray(whole)
        flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        damages.append(lambda flipped=bytes(flipped): flipped)  # type: ignore[misc]
    for damage in damages:
        path = store.path / name
        path.unlink(missing_ok=True)
        content = damage()
        if content is not None:
            path.write_bytes(content)
        assert np.array_equal(again(store).spectrograms(), before)
    (store.path / name).unlink(missing_ok=True)


def test_a_foreign_png_of_the_same_kind_is_refused(store: Store) -> None:
    first, second = (store.picture_path(segment) for segment in store.segments[:2])
    shutil.copy(first, second)
    with pytest.raises(DataError, match="is not what was rendered of this segment"):
        again(store).spectrograms()
    os.remove(second)
    second.mkdir()
    with pytest.raises(DataError, match="is damaged"):
        again(store).spectrograms()


def bomb(shape: tuple[int, int], tags: dict[str, str]) -> bytes:
    """Return a PNG that promises `shape` and unpacks to 100 MB of zeros."""
    head = png._chunk(b"IHDR", struct.pack(">IIBBBBB", shape[1], shape[0], 8, 0, 0, 0, 0))
    texts = b"".join(png._text(key, value) for key, value in tags.items())
    return png.SIGNATURE + head + texts + png._chunk(b"IDAT", zlib.compress(bytes(10**8))) + png.END


@pytest.mark.parametrize("shape", [(32, 44), (60_000, 60_000), (2**31 - 1, 2**31 - 1), (0, 0)])
def test_a_png_that_unpacks_to_too_much_is_one_line(store: Store, shape: tuple[int, int]) -> None:
    path = store.picture_path(store.segments[3])
    path.write_bytes(bomb(shape, png.read_tags(path) or {}))
    with pytest.raises(DataError, match=r"3 is damaged|is damaged|measures"):
        again(store).spectrograms()


def test_a_png_saved_by_another_program_is_one_line(store: Store) -> None:
    path = store.picture_path(store.segments[3])
    info = PngInfo()
    for key, value in (png.read_tags(path) or {}).items():
        info.add_text(key, value)
    info.add_text("Comment", "x" * 10_000_000, zip=True)
    Pillow.fromarray(np.array(store.spectrograms()[3])).save(path, pnginfo=info)
    with pytest.raises(DataError, match="run `spectro render` again"):
        again(store).spectrograms()


def test_packing_waits_for_a_rendering_and_then_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    assert storage.PATIENCE > 0
    with writing(store.path.parent), pytest.raises(BusyError, match=f"is written by process {os.getpid()}"):
        store.spectrograms()
    again(store).spectrograms()
    with writing(store.path.parent):
        again(store).spectrograms()  # what is packed can be read meanwhile


def test_spectrograms_that_change_while_they_are_packed_are_refused(store: Store) -> None:
    store.digest()
    path = store.picture_path(store.segments[-1])
    png.write(path, np.full((32, 44), 7, np.uint8), png.read_tags(path) or {})
    with pytest.raises(DataError, match="rendered again meanwhile; repeat the command"):
        store.spectrograms()
    assert not (store.path / "packed.npy").exists()
    assert (again(store).spectrograms()[-1] == 7).all()


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
