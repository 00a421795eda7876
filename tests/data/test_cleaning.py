"""Cleaning: only what can be made again is found and removed, with its size."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectro.core.caches import write_cached
from spectro.core.config import RenderConfig
from spectro.core.errors import BusyError, DataError
from spectro.core.files import HOST
from spectro.core.locks import writing
from spectro.data.cleaning import clean, find_removable
from spectro.data.features import extract
from spectro.data.render import render
from spectro.data.rerender import rerender
from spectro.data.splits import split
from spectro.data.store import open_store

Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def data(source: Path, tmp_path: Path, small: RenderConfig) -> Path:
    """A data folder with one of everything."""
    data = render(source, out=tmp_path / "data", config=small, workers=1).data
    split(data)
    store = open_store(data)
    store.spectrograms()
    extract(data, "rms", workers=1)
    rerender(data, replace(small, mel=replace(small.mel, n_mels=16)), split="group", workers=1)
    write_cached(store.path / "features" / "lite0-0123.npy", {}, 2, [np.zeros((2, 5), np.float16)])
    (data / "splits" / f".{HOST}-999999999-0.tmp").write_text("half")
    (data / "splits" / f".{HOST}-{os.getpid()}-0.tmp").write_text("in work")
    return data


def test_it_lists_with_sizes_and_removes_nothing(data: Path, contents: Contents) -> None:
    before = contents(data)
    found = clean(data)
    assert found == find_removable(data)
    assert sorted(one.kind for one in found) == ["backbone features", "feature", "temporary", "variant"]
    assert all(one.size > 0 and one.why for one in found)
    assert [one.size for one in found] == sorted((one.size for one in found), reverse=True)
    assert contents(data).keys() - {"pictures.json"} >= before.keys()


def test_what_is_removed_can_be_made_again(data: Path, small: RenderConfig, contents: Contents) -> None:
    kept = {name for name in contents(data) if name.endswith((".png", ".csv")) and not name.startswith(("f", "v"))}
    spectrograms = np.array(open_store(data).spectrograms())
    values = np.array(extract(data, "rms", workers=1).store.values())
    assert len(clean(data, dry_run=False)) == 4
    assert find_removable(data) == ()
    left = contents(data)
    assert kept - left.keys() <= {"failed.csv"} | {name for name in kept if "variants" in name}
    assert any(name.endswith(f"-{os.getpid()}-0.tmp") for name in left)
    assert np.array_equal(open_store(data).spectrograms(), spectrograms)
    assert np.array_equal(extract(data, "rms", workers=1).store.values(), values)


def test_a_packed_array_goes_only_when_it_does_not_fit(data: Path) -> None:
    path = open_store(data).path / "packed.npy"
    path.write_bytes(path.read_bytes()[:-1])
    assert [one.path for one in find_removable(data) if one.kind == "packed"] == [str(path)]
    clean(data, dry_run=False)
    assert not path.exists()


def test_what_the_lost_sound_made_stays(data: Path, source: Path) -> None:
    next(source.rglob("*.wav")).unlink()
    assert {one.kind for one in find_removable(data)} == {"backbone features", "temporary"}
    shutil.rmtree(source)
    assert {one.kind for one in find_removable(data)} == {"backbone features", "temporary"}


def test_what_others_write_stays(data: Path) -> None:
    with writing(extract(data, "rms", workers=1).store.path):
        assert "feature" not in {one.kind for one in clean(data, dry_run=False)}
    with writing(data), pytest.raises(BusyError):
        clean(data, dry_run=False)


def test_a_folder_of_others_is_not_cleaned(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no spectrograms"):
        find_removable(tmp_path)
