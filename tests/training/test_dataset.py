"""Training data: the subsets of a split, and one clear line when split and data do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError
from spectro.core.tables import Split, Subset
from spectro.training.dataset import TrainingData


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> DataFolder:
    return DataFolder.open(shutil.copytree(data, tmp_path / "data"))


def resplit(folder: DataFolder, assigned: dict[str, Subset]) -> None:
    """Write a split `changed` with the assignment."""
    split = folder.split("group")
    folder.write_split(Split(name="changed", by=split.by, assigned=assigned, statistics=split.statistics))


def test_every_segment_is_in_the_subset_of_its_clip(data: Path) -> None:
    dataset = TrainingData.open(data, "group")
    for subset, items in dataset.subsets.items():
        assert {dataset.split.subset_of(dataset.segments[item]) for item in items} == {subset}
    everything = np.concatenate(list(dataset.subsets.values()))
    assert sorted(everything.tolist()) == list(range(len(dataset.segments)))
    assert [dataset.labels[truth] for truth in dataset.truth] == [s.clip.label for s in dataset.segments]


def test_scores_of_perfect_and_uniform_probabilities(data: Path) -> None:
    dataset = TrainingData.open(data, "group")
    items = dataset.subsets["val"]
    perfect = dataset.score(items, np.eye(4)[dataset.truth[items]])
    assert (perfect.segment_accuracy, perfect.clip_accuracy, perfect.clip_f1) == (1, 1, 1)
    assert perfect.loss == pytest.approx(0, abs=1e-9)
    assert dataset.score(items, np.full((len(items), 4), 0.25)).loss == pytest.approx(np.log(4))


def test_a_split_that_does_not_fit_is_one_line(copy: DataFolder) -> None:
    assigned = dict(copy.split("group").assigned)
    clips = {clip.id: clip for clip in copy.clips}
    resplit(copy, dict(list(assigned.items())[1:]))
    with pytest.raises(DataError, match="does not know 3 of 72 segments"):
        TrainingData.open(copy, "changed")
    resplit(copy, {clip: "train" if subset == "test" else subset for clip, subset in assigned.items()})
    with pytest.raises(DataError, match="empty test set"):
        TrainingData.open(copy, "changed")
    resplit(copy, {clip: "val" if clips[clip].label == "hum" else subset for clip, subset in assigned.items()})
    with pytest.raises(DataError, match="no training clip of class 'hum'"):
        TrainingData.open(copy, "changed")
