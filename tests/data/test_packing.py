"""Sealed shards at a path or a URL: packed and unpacked to the byte, and read as the data folder they were made of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spectro.core.config import SplitConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, DataError
from spectro.core.sealed_tables import LIMIT
from spectro.core.storage import open_storage
from spectro.data import shard_store
from spectro.data.audit import audit
from spectro.data.packing import pack, unpack
from spectro.data.shard_store import ShardStore, StreamedImages
from spectro.data.splits import split
from spectro.data.store import Store, open_store

SMALL_MB = 0.02


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of copies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def data(rendered: Path, tmp_path: Path) -> Path:
    """A data folder with a split; it may be spoiled."""
    folder = Path(shutil.copytree(rendered, tmp_path / "data"))
    split(folder, config=SplitConfig(by="clip", test=0.3, val=0.2))
    return folder


@pytest.fixture(params=["path", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where shards are written."""
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')()}/run"
    return str(tmp_path / "packed") if request.param == "path" else f"memory://{tmp_path.name}/run"


def contents(folder: Path) -> dict[str, bytes]:
    """Return all tables and images of a data folder; features are computed from its sound again."""
    files = (path for path in folder.rglob("*") if path.suffix in (".csv", ".json", ".png"))
    own = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if not path.name.startswith(".")}
    caches = ("packed.json", "pictures.json")
    return {name: own[name] for name in own if not name.endswith(caches) and not name.startswith("features/")}


def test_what_is_unpacked_is_what_was_packed_to_the_byte(data: Path, place: str, tmp_path: Path) -> None:
    sealed = pack(data, place, shard_mb=SMALL_MB)
    assert sealed.lots > 2
    assert pack(data, place, shard_mb=SMALL_MB) == sealed  # a second time it finds all there
    assert contents(unpack(place, tmp_path / "again")) == contents(data)
    (tmp_path / "again" / next(name for name in contents(data) if name.endswith(".png"))).unlink()
    assert contents(unpack(place, tmp_path / "again")) == contents(data)
    with pytest.raises(ConfigError, match="not of this data"):
        pack(data, place, shard_mb=2 * SMALL_MB)


def test_a_url_is_read_as_the_folder_it_was_packed_from(data: Path, place: str) -> None:
    pack(data, place, shard_mb=SMALL_MB)
    plain, sealed = open_store(data), open_store(Path(place))  # a Path of a URL has lost a slash
    assert isinstance(sealed, ShardStore)
    assert type(plain) is Store
    assert sealed.segments == plain.segments
    assert (sealed.read(sealed.segments[3]) == plain.read(plain.segments[3])).all()
    assert (sealed.spectrograms() == plain.spectrograms()).all()
    assert not isinstance(sealed.spectrograms(), StreamedImages)
    folder = DataFolder.open(place)
    assert folder.split("clip") == DataFolder.open(data).split("clip")  # it came along
    assert split(place, config=SplitConfig(seed=1, by="clip"), name="own") == split(
        data, config=SplitConfig(seed=1, by="clip"), name="own"
    )
    assert DataFolder.open(place).has_split("own")
    assert DataFolder.open(folder.place).path == folder.path
    assert audit(place, workers=1).pairs == audit(data, workers=1).pairs


def test_large_arrays_are_streamed_in_windows_of_shards(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"memory://{tmp_path.name}/run"
    pack(data, url, shard_mb=SMALL_MB)
    facts = open_store(url).files.facts  # type: ignore[attr-defined]  # it is a ShardStore
    limit = 2.5 * max(one.bytes for one in facts)
    monkeypatch.setattr(shard_store, "WINDOW", 1)  # one shard
    monkeypatch.setenv(LIMIT, str(limit / 1e9))
    whole, store = open_store(data).spectrograms(), open_store(url)
    assert isinstance(store, ShardStore)
    images = store.spectrograms()
    assert isinstance(images, StreamedImages)
    assert images.shape == whole.shape
    items = np.arange(len(whole))
    order = images.shuffled(items, np.random.default_rng(3))
    assert (np.sort(order) == items).all()
    assert (order == images.shuffled(items, np.random.default_rng(3))).all()
    assert (order != images.shuffled(items, np.random.default_rng(4))).any()
    assert np.count_nonzero(np.diff(store.files.shard[order])) == len(facts) - 1  # each shard is visited once
    downloads: list[int] = []
    monkeypatch.setattr(store.files, "_download", _noting(store.files._download, downloads))
    for batch in np.array_split(order, 7):
        assert (images[batch] == whole[batch]).all()
        assert sum(path.stat().st_size for path in (store.path.parent / "shards").iterdir()) <= limit
    assert sorted(downloads) == list(range(len(facts)))  # each of them once
    assert (images[3] == whole[3]).all()
    assert (images[2:5] == whole[2:5]).all()
    monkeypatch.setattr(shard_store, "WINDOW", 1 << 30)
    with pytest.raises(ConfigError, match="raise it"):
        open_store(url).spectrograms()


def _noting(function: Callable[[int], None], numbers: list[int]) -> Callable[[int], None]:
    def call(number: int) -> None:
        numbers.append(number)
        function(number)

    return call


def test_damage_and_absence_name_the_object(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"memory://nothing/SEALED.json does not exist"):
        DataFolder.open("memory://nothing")
    packed = tmp_path / "packed"
    pack(data, packed, shard_mb=SMALL_MB)
    store = open_store(packed)
    shard = next((packed / "shards").iterdir())
    shard.write_bytes(shard.read_bytes().replace(b"IDAT", b"IDAX"))
    with pytest.raises(DataError, match=rf"in {packed}/shards/.*tar is damaged"):
        store.spectrograms()
    url = f"memory://{tmp_path.name}/other"
    for file in (path for path in packed.rglob("*") if path.is_file() and not path.name.startswith(".")):
        open_storage(url).put_if_absent(file.relative_to(packed).as_posix(), file)
    with pytest.raises(DataError, match=r"changed after sealing"):
        open_store(url).spectrograms()
    with pytest.raises(DataError, match="holds packed or sealed"):
        unpack(packed, packed)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="other files"):
        unpack(packed, tmp_path / "full")
