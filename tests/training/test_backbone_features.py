"""Backbone features are computed once, shared by training, maps and curves, and never left half written."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from spectro.core.errors import DataError, StorageError
from spectro.core.runs import Run
from spectro.data.store import open_store
from spectro.inference import batches
from spectro.training import backbone_features
from spectro.training.backbone_features import frozen_features, run_features
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
    kept = frozen_features(store, TINY, "none")
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
        monkeypatch.setattr(backbone_features, "write_array_header_1_0", fail)
    else:
        monkeypatch.setattr(batches.Batches, "_make", fail)
    with pytest.raises(StorageError, match=r"Input/output error; .* keeps 0 finished epochs") as stopped:
        finetune(data, out=tmp_path / "run", model=TINY, config=config, weights="none")
    assert "\n" not in str(stopped.value)
    assert not list(data.rglob("*.tmp"))
