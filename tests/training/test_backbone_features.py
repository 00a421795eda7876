"""Backbone features are computed once, shared by training, maps and curves, and never left half written."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from spectro.core import caches, files
from spectro.core.errors import DataError, StorageError
from spectro.core.runs import Run
from spectro.data.store import open_store
from spectro.inference import batches
from spectro.training.backbone_features import (
    CPU,
    Cache,
    Floats16,
    cached_backbone_features,
    frozen_features,
    run_features,
)
from spectro.training.finetune import finetune
from tests.training.shared import QUICK, TINY

FROZEN = dataclasses.replace(QUICK, epochs=0)


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_features_are_computed_once_and_shared(data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(FROZEN, views=2)
    finetune(data, out=tmp_path / "one", model=TINY, config=config, weights="none")
    cache = open_store(data).path / "features"
    before = times(cache)
    finetune(data, out=tmp_path / "two", model=TINY, config=dataclasses.replace(config, lr=2e-3), weights="none")
    assert before == times(cache)


def test_maps_and_curves_read_the_cache_that_training_filled(data: Path, tmp_path: Path) -> None:
    store = open_store(data)
    finetune(data, out=tmp_path / "one", model=TINY, config=FROZEN, weights="none")
    before = times(store.path / "features")
    kept = np.array(frozen_features(store, TINY, "none"))
    assert before == times(store.path / "features")
    for path in before:
        path.unlink()
    assert np.allclose(frozen_features(store, TINY, "none"), kept, atol=1e-3)


def test_a_trained_network_gives_features_of_the_wanted_clips(finished: Path, data: Path) -> None:
    run, store = Run.open(finished), open_store(data)
    wanted = {store.segments[0].clip.id, store.segments[-1].clip.id}
    segments, features = run_features(run, data, clips=wanted, device="cpu")
    assert {segment.clip.id for segment in segments} == wanted
    everything, all_features = run_features(run, data, device="cpu")
    rows = [everything.index(segment) for segment in segments]
    assert np.allclose(all_features[rows], features, atol=1e-3)
    with pytest.raises(DataError, match="none of the wanted clips"):
        run_features(run, data, clips=())


@pytest.mark.parametrize("work", ["features", "batches"])
def test_a_machine_that_fails_is_one_line_and_leaves_no_half_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    config = dataclasses.replace(QUICK, seed=5)  # features of its own
    if work == "features":
        monkeypatch.setattr(caches, "write_array_header_1_0", fail)
    else:
        monkeypatch.setattr(batches.Batches, "_make", fail)
    with pytest.raises(StorageError, match=r"Input/output error; .* keeps 0 finished epochs") as stopped:
        finetune(data, out=tmp_path / "run", model=TINY, config=config, weights="none")
    assert "\n" not in str(stopped.value)
    assert not list(data.rglob("*.tmp"))


def test_a_damaged_or_stale_cache_is_made_again_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inputs = np.random.default_rng(0).integers(0, 255, (7, 8, 9), np.uint8)
    source = batches.Batches(inputs, CPU, 3)
    cache = Cache.of(tmp_path, "net", weights="a")

    def features(cache: Cache = cache) -> Floats16:
        files._verified.clear()  # as in another process
        return np.array(cached_backbone_features(cache, lambda x: x, source, 7))

    right, rng, note = features(), np.random.default_rng(1), cache.path.with_suffix(".json")
    assert right.shape == (7, 1, 1, 1)
    array, text = cache.path.read_bytes(), note.read_bytes()
    damaged = [(array[:cut], text) for cut in (0, 5, 100, len(array) - 1)]
    damaged += [(array, text[:cut]) for cut in (0, 20, len(text) - 9)]
    damaged += [(bytes(len(array)), text), (array + b"x", text), (pickle.dumps(array), text), (array, b"[]")]
    for place in rng.integers(0, len(array), 10).tolist():
        damaged.append((array[:place] + bytes([array[place] ^ 4]) + array[place + 1 :], text))
    for number, (content, beside) in enumerate(damaged):
        cache.path.write_bytes(content)
        note.write_bytes(beside)
        caplog.clear()
        assert np.array_equal(features(), right), number
        assert [record.message for record in caplog.records] == [
            f"{cache.path} is damaged or not complete: these features are computed again"
        ]
        caplog.clear()
        features()
        assert not caplog.records
    note.unlink()  # as after a death between the two
    assert np.array_equal(features(), right)
    cache.path.unlink()
    assert np.array_equal(features(), right)
    stale = Cache(path=cache.path, facts={"weights": "b"})
    assert np.array_equal(features(stale), right)
    assert caplog.records


def test_a_folder_in_the_place_of_a_cache_is_one_line(tmp_path: Path) -> None:
    source = batches.Batches(np.zeros((2, 3, 4), np.uint8), CPU, 2)
    for name in ("net.npy", "net.json"):
        (tmp_path / name).mkdir()
        with pytest.raises(StorageError, match=f"{name} is a folder"):
            cached_backbone_features(tmp_path / "net.npy", lambda x: x, source, 2)
        (tmp_path / name).rmdir()


def test_a_disk_without_room_for_all_views_is_refused_before_it_is_full(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = open_store(data).path / "features"
    kept = {path.name for path in cache.iterdir()} if cache.exists() else set()
    config = dataclasses.replace(FROZEN, views=1000, seed=77)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 3_000_000))  # type: ignore[attr-defined]
    with pytest.raises(StorageError, match=r"of 1000 views .* or lower --views") as refused:
        finetune(data, out=tmp_path / "run", model=TINY, config=config, weights="none")
    assert "\n" not in str(refused.value)
    assert {path.name for path in cache.iterdir()} == kept
